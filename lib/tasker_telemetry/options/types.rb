# frozen_string_literal: true

require "ipaddr"
require "tasker_telemetry/failure"
require "tasker_telemetry/text"

module TaskerTelemetry
  class Options
    # What an option accepts: in words, for errors and for the reader of the code, and as a conversion that returns
    # the value to keep, or nil for one that cannot be used.
    #
    # @api private
    Type = Struct.new(:accepts, :conversion) do
      def convert(value)
        conversion.call(value)
      end
    end

    # The kinds of values that options take.
    #
    # @api private
    module Types
      LARGEST_COUNT = (2**32) - 1
      # A hundred years.
      MOST_SECONDS = 3_155_760_000

      def self.text(value)
        text = value.is_a?(Symbol) ? value.name : value
        text.dup.freeze if text.is_a?(String) && !text.empty? && !text.b.include?("\0")
      end

      # What is printed and logged in one line.
      def self.line(value)
        text = value.is_a?(Symbol) ? value.name : value
        text = Text.strictly(text) if text.is_a?(String)
        text if text.is_a?(String) && !text.empty? && !text.match?(/[[:cntrl:]]/)
      end

      # Pathname and whatever else names a file.
      def self.path(value)
        text(value.respond_to?(:to_path) ? value.to_path : value)
      end

      def self.labels(value)
        return unless value.is_a?(Hash)

        value.to_h { |name, label| [Text.of(name), Text.of(label)] }.freeze
      rescue *Failure::PASSING
        raise
      rescue Exception # rubocop:disable Lint/RescueException -- a `to_s` of the application's
        nil
      end

      def self.networks(value)
        networks = [*value]
        return if networks.empty?

        networks.map { |network| network.is_a?(IPAddr) ? network : IPAddr.new(network) }.freeze
      rescue IPAddr::Error, NoMethodError
        nil
      end

      def self.headers(value)
        return unless value.is_a?(Hash)

        headers = value.to_h { |name, content| [Text.of(name), Text.of(content)] }
        headers.freeze if headers.all? do |name, content|
                            name.match?(HEADER_NAME) && !content.match?(/[\x00-\x1f\x7f]/)
                          end
      rescue *Failure::PASSING
        raise
      rescue Exception # rubocop:disable Lint/RescueException -- a `to_s` of the application's
        nil
      end

      def self.filters(value)
        filters = [*value]
        usable = filters.all? do |filter|
          case filter
          when String, Symbol then !filter.empty?
          else filter.is_a?(Regexp) || filter.respond_to?(:call)
          end
        end
        filters.freeze if usable && !value.is_a?(Hash)
      end

      # RFC 9110, section 5.6.2: a token.
      HEADER_NAME = /\A[!#$%&'*+\-.^_`|~0-9A-Za-z]+\z/
      private_constant :HEADER_NAME

      BOOLEAN = Type.new("true or false", ->(value) { value if [true, false].include?(value) })
      NAME = Type.new("a String or Symbol of UTF-8, not empty and without control characters", method(:line))
      SECRET = Type.new("a String that is not empty", ->(value) { text(value) if value.is_a?(String) })
      # What a header can carry: a token that came out of a file with its end of line would never match.
      TOKEN = Type.new("a String that is not empty, without spaces around it or control characters", lambda do |value|
        text(value) if value.is_a?(String) && !value.b.match?(/\A\s|\s\z|[\x00-\x1f\x7f]/n)
      end)
      # RFC 7617, section 2: the first colon begins the password.
      USERNAME = Type.new("a String that is not empty, without a colon or control characters", lambda do |value|
        text(value) if value.is_a?(String) && !value.b.match?(/[:\x00-\x1f\x7f]/n)
      end)
      ARENA = Type.new("an absolute path, :memory, or :auto", lambda do |value|
        next value if %i[auto memory].include?(value)

        path = path(value) unless value.is_a?(Symbol)
        path if path&.start_with?("/")
      end)
      URL_PATH = Type.new('a path that begins with "/", such as "/metrics"', lambda do |value|
        text(value) if value.is_a?(String) && value.match?(%r{\A/[^\s?#]+\z})
      end)
      LABELS = Type.new('a Hash of label names and values that have to_s, such as { region: "eu" }', method(:labels))
      COUNT = Type.new("a whole number from 1 to #{LARGEST_COUNT}", lambda do |value|
        value if value.is_a?(Integer) && value.between?(1, LARGEST_COUNT)
      end)
      # is_a? and not `===`: an ActiveSupport::Duration answers to the first only.
      SECONDS = Type.new("a number of seconds above 0, up to #{MOST_SECONDS} (a hundred years)", lambda do |value|
        seconds = value.is_a?(Numeric) && value.real? ? value.to_f : 0.0
        seconds if seconds.positive? && seconds <= MOST_SECONDS
      end)
      LOGGER = Type.new("an object that answers to warn and error", lambda do |value|
        value if %i[warn error].all? { |level| value.respond_to?(level) }
      end)
      LOG_FORMAT = Type.new(":json or :key_value", lambda do |value|
        value = value.to_sym if value.is_a?(String)
        value if %i[json key_value].include?(value)
      end)
      NETWORKS = Type.new('addresses or CIDR networks, such as ["10.0.0.0/8", "::1"]', method(:networks))
      URL = Type.new('a URL of http or https, such as "http://localhost:4318"', lambda do |value|
        text(value) if value.is_a?(String) && value.match?(%r{\Ahttps?://[^\s/]}i) && !value.match?(/[\s\x00-\x1f\x7f]/)
      end)
      OTLP_PROTOCOL = Type.new(":http_protobuf or :grpc", lambda do |value|
        value if %i[http_protobuf grpc].include?(value)
      end)
      HEADERS = Type.new('a Hash of header names and values, such as { "x-api-key" => "..." }', method(:headers))
      RATIO = Type.new("a number from 0 to 1", lambda do |value|
        value.to_f if value.is_a?(Numeric) && value.real? && (0.0..1.0).cover?(value.to_f)
      end)
      FILTERS = Type.new("a list of names (String, Symbol), Regexps, and callables as Rails takes them",
                         method(:filters))
      CALLABLE = Type.new("an object that answers to call(env)", ->(value) { value if value.respond_to?(:call) })
    end
  end
end
