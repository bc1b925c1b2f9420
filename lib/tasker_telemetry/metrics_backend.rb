# frozen_string_literal: true

require "singleton"
require "tasker_telemetry/collectors"
require "tasker_telemetry/own_metrics"
require "tasker_telemetry/snapshot"
require "tasker_telemetry/text"

module TaskerTelemetry
  # The object behind the module methods of {TaskerTelemetry}.
  class MetricsBackend
    include Singleton

    SCOPES = %i[machine].freeze
    # Long enough to recognize a value by.
    LONGEST_VALUE = 100
    private_constant :SCOPES, :LONGEST_VALUE

    def initialize
      @collectors = Collectors.new
      @declared = {}
    end

    # @see TaskerTelemetry.counter
    def counter(name, help = "", labels: [], unit: nil)
      declare(name, help, labels, unit) { |*words| Native.counter(*words, false) }
    end

    # @see TaskerTelemetry.gauge
    def gauge(name, help = "", labels: [], unit: nil, aggregation: :last)
      declare(name, help, labels, unit) { |*words| Native.gauge(*words, Text.of(aggregation), false) }
    end

    # @see TaskerTelemetry.histogram
    def histogram(name, help = "", labels: [], unit: nil, buckets: nil)
      declare(name, help, labels, unit) { |*words| Native.histogram(*words, bounds(words.first, buckets), false) }
    end

    # @param name [Symbol, String] as declared
    # @return [Counter, Gauge, Histogram, nil]
    def find(name)
      @declared[name.to_s]
    end

    # @see TaskerTelemetry.collect
    def collect(&block)
      raise ArgumentError, "TaskerTelemetry.collect needs a block" unless block

      @collectors.add(block)
    end

    # @see TaskerTelemetry.export
    def export(format, scope: :machine)
      scrape(scope) { Native.export(format.to_s) }
    end

    # A page in pieces, for bodies and files: nothing has to hold the whole.
    #
    # @api private
    # @return [Native::Page]
    def page(format, scope: :machine)
      scrape(scope) { Native.page(format.to_s) }
    end

    # @see TaskerTelemetry.snapshot
    def snapshot(scope: :machine)
      scrape(scope) { Snapshot.new(Native.snapshot) }
    end

    # @return [Hash{Symbol => Object}] the state of the arena, the registry and the collect blocks
    def stats
      settle
      Native.status.merge(collect: @collectors.status)
    end

    # Removes every series of the application on this machine.
    #
    # @return [Integer] how many there were
    def clear!
      settle
      Native.clear
    end

    # Takes an event that happens now to the router, as if it had been published.
    #
    # @param name [String, Symbol]
    # @param payload [Hash]
    # @return [Boolean] whether something became of it
    def handle_event(name, payload = {})
      TaskerTelemetry.settle && TelemetrySubscriber.take(name.to_s, payload)
    end

    # @return [String, nil] the identity of the arena that this process counts into; nil while it has none
    def instance_id
      Native.arena_id
    end

    private

    def declare(name, help, labels, unit)
      settle
      name = Text.of(name)
      unit = Text.of(unit)
      @declared[name] = yield(name, Text.of(help), [*labels].map { |label| Text.of(label) }, (unit unless unit.empty?))
    end

    # Whether they make sense as bounds is the native side's to say; here they become numbers.
    def bounds(name, buckets)
      return if buckets.nil?

      bounds = list(buckets)
      return bounds.map(&:to_f) if bounds&.all? { |bound| bound.is_a?(Numeric) && bound.real? }

      given = Text.of(buckets.inspect)[0, LONGEST_VALUE]
      raise DeclarationError, "buckets #{given} of metric #{name.inspect} are not valid: " \
                              "they must be a list of numbers, such as [0.1, 0.5, 1]"
    end

    def list(buckets)
      buckets.to_a if buckets.respond_to?(:to_a) && !buckets.is_a?(Hash)
    rescue RangeError
      # It has no end.
      nil
    end

    def scrape(scope)
      unless SCOPES.include?(scope)
        raise ArgumentError, "scope cannot be #{scope.inspect}; accepted: #{SCOPES.map(&:inspect).join(", ")}"
      end

      settle
      @collectors.run if TaskerTelemetry.config.metrics.enabled
      yield
    ensure
      Log.notices
    end

    # Without a configure block the defaults have to reach the native side before the first sample does.
    def settle
      TaskerTelemetry.configure unless TaskerTelemetry.configured?
    end

    # Here and now: the first call takes a lock, which a trap handler may not.
    instance
  end
end
