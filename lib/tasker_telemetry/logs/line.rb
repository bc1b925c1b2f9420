# frozen_string_literal: true

require "json"

module TaskerTelemetry
  module Logs
    # One event, as it stands in the log.
    #
    # @api private
    class Line
      # Needs no quotes in `key=value`.
      PLAIN = %r{\A[[:alnum:]_.:/+@%-]+\z}
      # What JSON leaves as it is, and some readers take for the end of a line.
      ENDS = { "\u0085" => "\\u0085", "\u2028" => "\\u2028", "\u2029" => "\\u2029" }.freeze
      private_constant :PLAIN, :ENDS

      def initialize(time:, level:, name:, payload:, trace_id: nil, span_id: nil, correlation_id: nil, duration: nil)
        @payload = payload
        @fields = {
          "time" => (time || Time.now).getutc.strftime("%FT%T.%6NZ"), "level" => level.name, "event" => name,
          "trace_id" => trace_id, "span_id" => span_id, "correlation_id" => correlation_id,
          "duration" => (duration.to_f.round(6) if duration&.to_f&.finite?)
        }.compact
      end

      # @param format [Symbol] :json or :key_value
      # @return [String] without the end of the line, nor any within
      def to_s(format)
        format == :json ? json : key_value
      end

      private

      def json
        escaped(@payload.empty? ? @fields : @fields.merge("payload" => @payload))
      end

      # The payload's keys stand beside the event's own, told apart where they are the same.
      def key_value
        payload = @payload.transform_keys { |key| @fields.key?(key) ? "payload.#{key}" : key }
        @fields.merge(payload).map { |key, value| "#{key.gsub(/[^[:alnum:]_.-]/, "_")}=#{quoted(value)}" }.join(" ")
      end

      def quoted(value)
        case value
        when String then value.match?(PLAIN) ? value : escaped(value)
        when Hash, Array then escaped(JSON.generate(value))
        else value.to_s
        end
      end

      def escaped(value)
        JSON.generate(value).gsub(/[\u0085\u2028\u2029]/, ENDS)
      end
    end
  end
end
