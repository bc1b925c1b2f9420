# frozen_string_literal: true

require "tasker_telemetry/text"

module TaskerTelemetry
  # Takes secrets out of text and of payloads before they are written anywhere. What is a secret, the native side knows
  # from the configuration.
  #
  # @api private
  module Redaction
    # Longer text is cut: nobody reads it in a line of a log.
    LONGEST = 4_096
    private_constant :LONGEST

    class << self
      # @param text [Object] whatever has `to_s`
      # @return [String] without the secrets that it shows
      def text(text)
        Native.redact(Text.beginning(Text.of(text), LONGEST))
      end

      # @param payload [Hash] made of Hashes, Arrays and scalars, without cycles
      # @return [Hash] a copy without secrets
      def payload(payload)
        inside(payload, nil)
      end

      private

      # Whoever makes keys of what comes in has anything in them.
      def named(key)
        key.is_a?(String) ? text(key) : key
      end

      def inside(hash, outer)
        hash.to_h do |key, value|
          name = Text.of(key)
          path = TaskerTelemetry.filters.within(outer, name) if outer
          [named(key), value(name, value, path)]
        end
      end

      def value(name, value, path)
        return TaskerTelemetry.config.filter_mask if Native.hides?(name, path)

        value = TaskerTelemetry.filters.call(name, value, path)
        case value
        when Hash then inside(value, path || name)
        when Array then value.map { |each| value(name, each, path) }
        when String then text(value)
        else value
        end
      end
    end
  end
end
