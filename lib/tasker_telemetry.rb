# frozen_string_literal: true

require "monitor"
require "tasker_telemetry/version"
require "tasker_telemetry/clock"
require "tasker_telemetry/errors"
require "tasker_telemetry/failure"
require "tasker_telemetry/native"
require "tasker_telemetry/configuration"
require "tasker_telemetry/log"
require "tasker_telemetry/instruments"
require "tasker_telemetry/metrics_backend"
require "tasker_telemetry/fork_hook"
require "tasker_telemetry/endpoint"
require "tasker_telemetry/middleware"

# Metrics of an application, counted in memory that all its processes on a machine share.
module TaskerTelemetry
  @configuring = Monitor.new

  class << self
    # Changes the configuration. What one block sets, the next finds. A block that raises, or asks for what cannot be,
    # leaves everything as it was.
    #
    # @yieldparam config [Configuration]
    # @raise [ConfigurationError] for an unknown option, a value that cannot be used, or an option that is fixed since
    #   the first sample (arena, service name, environment, prefix)
    # @return [Configuration] frozen
    def configure
      meet_rails
      @configuring.synchronize do
        draft = (@config || Configuration.new).dup
        yield draft if block_given?
        Native.configure(draft.validate!.freeze.to_native)
        @config = draft
      end
      Log.notices
      config
    end

    # @return [Configuration] what is in force, frozen
    def config
      @config || Configuration.new.freeze
    end

    # @api private
    def configured?
      !@config.nil?
    end

    # Declares a counter, or finds it: the same declaration again gives the same object.
    #
    # @param name [Symbol, String]
    # @param help [String] one line for people
    # @param labels [Array<Symbol, String>] the names of its labels
    # @param unit [Symbol, String, nil] OpenMetrics' unit, which the name has to end in (before _total)
    # @raise [DeclarationError] when a name breaks the rules, or the metric was declared otherwise before
    # @return [Counter]
    def counter(name, help = "", labels: [], unit: nil)
      MetricsBackend.instance.counter(name, help, labels: labels, unit: unit)
    end

    # Declares a gauge, or finds it.
    #
    # @param (see .counter)
    # @param aggregation [Symbol] how the values of several processes become one: :last, :sum, :min, :max, or
    #   :per_process for a series of each
    # @raise (see .counter)
    # @return [Gauge]
    def gauge(name, help = "", labels: [], unit: nil, aggregation: :last)
      MetricsBackend.instance.gauge(name, help, labels: labels, unit: unit, aggregation: aggregation)
    end

    # Declares a histogram, or finds it.
    #
    # @param (see .counter)
    # @param buckets [Array<Numeric>, nil] upper bounds, each once; nil for those that suit seconds
    # @raise (see .counter)
    # @return [Histogram]
    def histogram(name, help = "", labels: [], unit: nil, buckets: nil)
      MetricsBackend.instance.histogram(name, help, labels: labels, unit: unit, buckets: buckets)
    end

    # Registers a block that runs whenever this process is scraped or exported, before its values are read. It is no
    # part of the scrape's fate: one that raises is logged and counted, one that is slow is waited for 2 s and then left
    # to finish by itself. A block that the same source line registers again after a code reload replaces the first.
    #
    # @return [nil]
    def collect(&)
      MetricsBackend.instance.collect(&)
    end

    # @param format [Symbol, String] :prometheus, :openmetrics, :json, :csv or :otlp (binary)
    # @param scope [Symbol] :machine, all processes of the application on this machine
    # @raise [ArgumentError] for another format or scope
    # @return [String]
    def export(format, scope: :machine)
      MetricsBackend.instance.export(format, scope: scope)
    end

    # @param scope (see .export)
    # @raise [ArgumentError] for another scope
    # @return [Snapshot] an Enumerable of {Series}
    def snapshot(scope: :machine)
      MetricsBackend.instance.snapshot(scope: scope)
    end

    # How the telemetry itself is. It holds no secret.
    #
    # @return [Hash{Symbol => Object}]
    def status
      metrics = MetricsBackend.instance.stats
      current = config
      { version: VERSION, service_name: current.service_name, environment: current.environment,
        strict: current.strict, metrics: metrics,
        endpoint: { path: current.endpoint.path, protected_by: current.endpoint.protections } }
    ensure
      Log.notices
    end

    # For tests: forgets every sample and keeps declarations, collect blocks and the configuration.
    #
    # @return [nil]
    def reset!
      MetricsBackend.instance.clear!
      Log.reset
      nil
    end

    # @return [Logger] where the gem's own words go
    def logger
      Log.logger
    end

    # Called by the native side with a sample that it refused and counted.
    #
    # @api private
    # @raise [InvalidSample] with `config.strict`
    def reject_sample(metric, reason, message)
      raise InvalidSample, message if config.strict

      Log.limited([metric, reason]) { message }
      nil
    end

    private

    # Rails may have been loaded after the gem.
    def meet_rails
      require "tasker_telemetry/railtie" if defined?(::Rails::Railtie) && !const_defined?(:Railtie, false)
    end
  end
end

TaskerTelemetry.send(:meet_rails)
