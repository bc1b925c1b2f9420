# frozen_string_literal: true

require "tasker_telemetry/text"

module TaskerTelemetry
  # What must not be shown: Rails' filter parameters and `config.filter_parameters`, sorted by who can apply them.
  # Names and most Regexps are the native side's, which sees every key and every text. A callable, and a Regexp that
  # only Ruby understands, are asked for each value of a payload.
  #
  # @api private
  class Filters
    # How deep is looked, and how many values at most.
    DEEPEST = 6
    MOST = 1_000
    private_constant :DEEPEST, :MOST

    # @param config [Configuration]
    # @return [Filters]
    def self.of(config)
      new((rails || Native.default_filters) + config.filter_parameters, config.filter_mask)
    end

    # An application that names nothing has not decided that everything may be shown: it lacks the initializer.
    def self.rails
      return unless defined?(::Rails.application) && ::Rails.application

      filters = ::Rails.application.config.filter_parameters
      filters unless filters.empty?
    end
    private_class_method :rails

    # @param filters [Array<String, Symbol, Regexp, #call>]
    # @param mask [String]
    def initialize(filters, mask)
      @names, others = filters.partition { |filter| filter.is_a?(String) || filter.is_a?(Symbol) }
      regexps, @callables = others.partition { |filter| filter.is_a?(Regexp) }
      @patterns, @backtracking = regexps.partition { |regexp| Native.linear?(linear(regexp)) }
      @paths = (@names + regexps).any? { |filter| path?(filter) }
      @mask = mask
    end

    # @return [Hash] what the native side is told
    def to_native
      { names: @names.map { |name| Text.of(name) }, patterns: @patterns.map { |pattern| linear(pattern) }, mask: @mask,
        ask: !(@backtracking + @callables).empty? }
    end

    # What the native side cannot decide.
    #
    # @param name [String] a key of a payload
    # @param value [Object]
    # @param path [String, nil] the names of all that the key is in and its own, joined by dots; nil where it is in
    #   nothing, or nobody asks
    # @return [Object] the value, or what is to be shown in its place
    def call(name, value, path = nil)
      return @mask if @backtracking.any? { |filter| filter.match?((path if path?(filter)) || name) }

      value.is_a?(String) ? replaced(name, value) : value
    end

    # As {#call}, with what is in a Hash or an Array. Of what is deeper or more than anybody reads, nothing is shown.
    #
    # @param (see #call)
    # @return (see #call)
    def deep(name, value, path = nil, depth = DEEPEST, room = [MOST])
      return if (room[0] -= 1).negative?

      shown = call(name, value, path)
      return shown unless shown.is_a?(Hash) || shown.is_a?(Array)

      inside(name, shown, path, depth - 1, room) if depth.positive?
    end

    # @param outer [String] the path of what a key is in
    # @param name [String] the key
    # @return [String, nil] its path; nil where no filter is asked about paths
    def within(outer, name)
      "#{outer}.#{name}" if @paths
    end

    private

    def inside(name, value, path, depth, room)
      return value.first(MOST).map { |inner| deep(name, inner, path, depth, room) } if value.is_a?(Array)

      value.to_h do |key, inner|
        named = named(key, name)
        [key, deep(named, inner, within(path || name, named), depth, room)]
      end
    end

    # Rails' callables change the String that they are given.
    def replaced(name, value)
      @callables.reduce(value) do |shown, filter|
        shown = shown.dup
        filter.arity == 2 ? filter.call(name, shown) : filter.call(name, shown, {})
        shown
      end
    end

    # What has no name of its own has that of what it is in.
    def named(key, outer)
      case key
      when String, Symbol then Text.of(key)
      else outer
      end
    end

    # Whether Rails matches a filter with paths instead of names.
    def path?(filter)
      filter.is_a?(Regexp) ? filter.source.include?("\\.") : filter.to_s.include?(".")
    end

    # The same in the native side's syntax.
    def linear(pattern)
      flags = { Regexp::IGNORECASE => "i", Regexp::MULTILINE => "s", Regexp::EXTENDED => "x" }
              .filter_map { |bit, flag| flag if pattern.options.anybits?(bit) }.join
      # In Ruby `^` and `$` are always those of a line.
      "(?m#{flags})#{Text.of(pattern.source).gsub("\\Z", "\\z")}"
    end
  end
end
