# frozen_string_literal: true

require "tasker_telemetry/text"

module TaskerTelemetry
  # Takes secrets out of text and of payloads before they are written anywhere.
  #
  # @api private
  module Redaction
    MASK = "[FILTERED]"
    # Of the words that Rails' generated filter has, those that name secrets.
    SECRET = /passw|secret|token|_key|crypt|salt|certificate|otp|ssn/i
    # Longer text is cut: nobody reads it in a line of a log.
    LONGEST = 4_096

    # `password=x`, `password: x`, `"password":"x"`, `password => x`, in escaped quotes too, closed or not.
    ASSIGNED = /
      ((?:#{SECRET.source})[\w-]{0,64}[\\"']{0,4}\s{0,8}(?:=>|[:=])\s{0,8})
      (?:\[FILTERED\] | "(?:[^"\\]|\\.)*"? | '(?:[^'\\]|\\.)*'? | \\+"[^"]*"? | \\+'[^']*'? | [^\s,;&"'\\})\]]+)
    /xi
    # The whole value of the header: a scheme and what it takes.
    HEADER = /(authorization["']?\s{0,8}(?:=>|[:=])\s{0,8}["']?)[^\r\n"',;]+/i
    SCHEME = /\b(bearer|basic)\s+[^\s"',;]+/i
    USER = %r{://[^\s/?\#"']*@}
    # What all of the above have in them.
    SUSPECT = /[=:@]|bearer|basic/i
    private_constant :SECRET, :LONGEST, :ASSIGNED, :HEADER, :SCHEME, :USER, :SUSPECT

    class << self
      # @param text [Object] whatever has `to_s`
      # @return [String] without the secrets that it shows
      def text(text)
        text = Text.of(text)[0, LONGEST]
        return text unless text.match?(SUSPECT)

        text.gsub(HEADER, "\\1#{MASK}").gsub(SCHEME, "\\1 #{MASK}").gsub(USER, "://#{MASK}@")
            .gsub(ASSIGNED, "\\1#{MASK}")
      end

      # @param payload [Hash] made of Hashes, Arrays and scalars, without cycles
      # @return [Hash] a copy without secrets
      def payload(payload)
        payload.to_h { |key, value| [key, secret?(key) ? MASK : value(value)] }
      end

      private

      def secret?(key)
        key = Text.of(key)
        key.match?(SECRET) || key.casecmp?("authorization")
      end

      def value(value)
        case value
        when Hash then payload(value)
        when Array then value.map { |each| value(each) }
        when String then text(value)
        else value
        end
      end
    end
  end
end
