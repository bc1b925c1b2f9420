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
      private_constant :PLAIN

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

      # Line separators of Unicode are escaped as well, which some readers take for the end of a line.
      def json
        JSON.generate(@payload.empty? ? @fields : @fields.merge("payload" => @payload), script_safe: true)
      end

      # The payload's keys stand beside the event's own, told apart where they are the same.
      def key_value
        payload = @payload.transform_keys { |key| @fields.key?(key) ? "payload.#{key}" : key }
        @fields.merge(payload).map { |key, value| "#{key.gsub(/[^[:alnum:]_.-]/, "_")}=#{quoted(value)}" }.join(" ")
      end

      def quoted(value)
        case value
        when String then value.match?(PLAIN) ? value : JSON.generate(value, script_safe: true)
        when Hash, Array then JSON.generate(JSON.generate(value, script_safe: true))
        else value.to_s
        end
      end
    end
  end
end
