# frozen_string_literal: true

require "tasker_telemetry/errors"
require "tasker_telemetry/failure"
require "tasker_telemetry/text"
require "tasker_telemetry/options/types"

module TaskerTelemetry
  # Options that belong together. Setting one checks its value at once, so that the error points at the line that is
  # wrong; nil stands for the default. A frozen group has its defaults settled: it never changes under a reader.
  class Options
    # @api private
    Option = Struct.new(:name, :type, :default, :secret, :opaque, :shown, keyword_init: true)

    FILTERED = "[FILTERED]"
    # Long enough to recognize a value by, short enough for a log line.
    LONGEST_VALUE = 100
    private_constant :FILTERED, :LONGEST_VALUE

    class << self
      # @api private
      # @return [Hash{Symbol => Option}] the group's own options, in the order they were declared
      def options
        @options ||= {}
      end

      # @api private
      # @return [Hash{Symbol => Class}] the groups below this one
      def groups
        @groups ||= {}
      end

      # @api private
      # @return [Array<Symbol>] everything that can be written after the group's name and a dot
      def names
        options.keys + groups.keys
      end

      private

      # @param secret [Boolean] whether its value is shown nowhere
      # @param opaque [Boolean] whether of its value the class alone is shown: who knows what the object holds
      # @param shown [#call, nil] what is shown of a value
      def option(name, type, default: nil, secret: false, opaque: false, shown: nil)
        options[name] =
          Option.new(name: name, type: type, default: default, secret: secret, opaque: opaque, shown: shown)
        define_method(name) { fetch(name) }
        define_method(:"#{name}=") { |value| assign(name, value) }
      end

      def group(name, type)
        groups[name] = type
        define_method(name) { @groups.fetch(name) }
      end
    end

    # @param path [String] how a person writes this group, for errors
    def initialize(path)
      @path = path
      @values = {}
      @groups = self.class.groups.to_h { |name, type| [name, type.new("#{path}.#{name}")] }
    end

    # @api private
    def initialize_copy(original)
      super
      # Defaults that were settled for a frozen group are not the copy's own values: they may differ by now.
      @values = @given.dup if @given
      @values = @values.dup
      @given = nil
      @groups = @groups.transform_values(&:dup)
    end

    # Settles every default.
    def freeze
      unless frozen?
        @given = @values.freeze
        @values = self.class.options.each_key.to_h { |name| [name, fetch(name)] }.freeze
        @groups.each_value(&:freeze)
        @groups.freeze
      end
      super
    end

    # Checks the defaults that come from the environment, in every group. What somebody set was checked at once.
    #
    # @api private
    # @raise [ConfigurationError]
    # @return [self]
    def validate!
      self.class.options.each_value do |option|
        value = fetch(option.name)
        raise ConfigurationError, unusable_default(option, value) if !value.nil? && option.type.convert(value).nil?
      end
      @groups.each_value(&:validate!)
      self
    end

    # @return [Hash] every option and its value; secrets are masked, and of a logger or callable the class is named
    def to_h
      own = self.class.options.transform_values { |option| shown(option) }
      own.merge(@groups.transform_values(&:to_h))
    end

    # @return [String] every option and its value; secrets are masked
    def inspect
      "#<#{self.class} #{to_h.map { |name, value| "#{name}=#{value.inspect}" }.join(" ")}>"
    end
    alias to_s inspect

    # What YAML prints.
    #
    # @api private
    def encode_with(coder)
      coder.map = to_h
    end

    # What ActiveSupport makes JSON of, which otherwise would be the instance variables.
    #
    # @api private
    def as_json(options = nil)
      to_h.as_json(options)
    end

    # @api private
    def marshal_dump
      raise TypeError, "#{@path} is not for Marshal: it may hold secrets"
    end

    private

    def fetch(name)
      @values.fetch(name) do
        option = self.class.options.fetch(name)
        default = option.default.respond_to?(:call) ? option.default.call : option.default
        kept = option.type.convert(default) unless default.nil?
        # One that cannot be used stays as it is, for validate! to say so.
        kept.nil? ? default : kept
      end
    end

    def assign(name, value)
      raise FrozenError, "#{@path}.#{name} can be set in a TaskerTelemetry.configure block only" if frozen?
      return @values.delete(name) if value.nil?

      option = self.class.options.fetch(name)
      kept = option.type.convert(value)
      raise ConfigurationError, unusable(option, value) if kept.nil?

      @values[name] = kept
    end

    def shown(option)
      value = fetch(option.name)
      return value if value.nil?
      return option.shown.call(value) if option.shown
      return FILTERED if option.secret

      option.opaque ? value.class.to_s : value
    end

    def unusable(option, value)
      "#{@path}.#{option.name} cannot be #{given(option, value)}; accepted is #{option.type.accepts}"
    end

    def unusable_default(option, value)
      "#{@path}.#{option.name} would be #{given(option, value)} by default; accepted is #{option.type.accepts}"
    end

    def given(option, value)
      return "of class #{value.class} (not shown)" if option.secret || option.opaque

      text = Text.of(value.inspect)
      text = option.shown.call(text) if option.shown
      text.length > LONGEST_VALUE ? "#{text[0, LONGEST_VALUE]}…" : text
    rescue *Failure::PASSING
      raise
    rescue Exception # rubocop:disable Lint/RescueException -- an object of the application's, that cannot be shown
      "of class #{value.class} (not shown)"
    end

    # Without this, the answer to a mistyped option would be a NoMethodError that lists nothing.
    def method_missing(name, *)
      wanted = name.to_s.delete_suffix("=")
      raise ConfigurationError, unknown(wanted)
    end

    # Implicit conversions (to_ary, to_str) ask here first, and are no options.
    def respond_to_missing?(*)
      false
    end

    def unknown(wanted)
      names = self.class.names.map(&:name)
      if names.include?(wanted)
        options = @groups.fetch(wanted.to_sym).class.names.join(", ")
        return "#{@path}.#{wanted} is a group of options and cannot be set itself; it has: #{options}"
      end

      "#{@path}.#{wanted} is not an option#{suggestion(wanted, names)}; accepted: #{names.join(", ")}"
    end

    def suggestion(wanted, names)
      return unless defined?(DidYouMean::SpellChecker)

      near = DidYouMean::SpellChecker.new(dictionary: names).correct(wanted).first
      " (did you mean #{near}?)" if near
    end
  end
end
