# frozen_string_literal: true

require "monitor"
require "tasker_telemetry/version"
require "tasker_telemetry/clock"
require "tasker_telemetry/errors"
require "tasker_telemetry/failure"
require "tasker_telemetry/native"
require "tasker_telemetry/configuration"
require "tasker_telemetry/filters"
require "tasker_telemetry/log"
require "tasker_telemetry/instruments"
require "tasker_telemetry/span"
require "tasker_telemetry/metrics_backend"
require "tasker_telemetry/event_router"
require "tasker_telemetry/telemetry_subscriber"
require "tasker_telemetry/tracing"
require "tasker_telemetry/base_subscriber"
require "tasker_telemetry/correlation"
require "tasker_telemetry/logs"
require "tasker_telemetry/metric_push"
require "tasker_telemetry/fork_hook"
require "tasker_telemetry/endpoint"
require "tasker_telemetry/instrumentation"
require "tasker_telemetry/middleware"

# Metrics of an application, counted in memory that all its processes on a machine share.
module TaskerTelemetry
  # Seconds that the end of a process may take for what it has not sent yet.
  EXIT_TIMEOUT = 5.0

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
        filters = Filters.of(draft.validate!.freeze)
        Native.configure(draft.to_native.merge(filter: filters.to_native))
        @config = draft
        @filters = filters
        TelemetrySubscriber.attach
        Native.join_foreign if Tracing.foreign?
        Tracing.carry(:net_http) if draft.traces.net_http
        MetricPush.start
      end
      Log.notices
      config
    end

    # @return [Configuration] what is in force, frozen
    def config
      @config || Configuration.new.freeze
    end

    # @api private
    # @return [Filters] what must not be shown
    def filters
      @filters || Filters.of(config)
    end

    # @api private
    def configured?
      !@config.nil?
    end

    # Without a configure block the defaults apply, before the first event is taken. Those that the environment gives
    # may be unfit, of which who publishes an event is the wrong one to be told: it is logged, and nothing comes of
    # events.
    #
    # @api private
    # @return [Boolean] whether there is a configuration
    def settle
      configure unless configured? || @unfit
      configured?
    rescue StandardError => e
      @unfit = true
      Log.error("events become nothing until TaskerTelemetry.configure succeeds: #{Failure.describe(e)}")
      false
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
        endpoint: { path: current.endpoint.path, protected_by: current.endpoint.protections },
        traces: { enabled: Native.traces?, **Native.trace_stats },
        export: { otlp: Native.push_stats } }
    ensure
      Log.notices
    end

    # For tests: forgets every sample and keeps declarations, collect blocks and the configuration.
    #
    # @return [nil]
    def reset!
      MetricsBackend.instance.clear!
      Native.forget_events
      Log.reset
      nil
    end

    # Publishes an event: through ActiveSupport::Notifications where that is loaded, else on a bus of the gem's own that
    # does the same. Without a block it is a point in time.
    #
    #   TaskerTelemetry.instrument("order.completed", order_id: 7) { |payload| payload[:total] = charge }
    #
    # @param name [String, Symbol]
    # @param payload [Hash] what there is to tell; an exception out of the block is noted in it as :exception and
    #   :exception_object
    # @yieldparam payload [Hash]
    # @raise whatever the block raises
    # @return [Object] what the block returns
    def instrument(name, payload = {}, &)
      settle
      Notifications.instrument(name, payload, &)
    end

    # @return [EventRouter] which events become what
    def events
      EventRouter.instance
    end

    # Runs the block inside a span. What happens in it, in this fiber, is inside the span too: spans, routed events, and
    # whatever {.trace_headers} are sent to.
    #
    #   TaskerTelemetry.span("charge", { "amount" => 12 }) { |span| span["ok"] = true }
    #
    # @param name [String, Symbol] one of few: what differs each time belongs into the attributes
    # @param attributes [Hash{String, Symbol => Object}]
    # @yieldparam span [Span]
    # @raise whatever the block raises; the span has then failed
    # @return [Object] what the block returns
    def span(name, attributes = {}, &)
      raise ArgumentError, "TaskerTelemetry.span needs a block" unless block_given?

      Tracing.in_span(name, attributes, &)
    end

    # @return [Tracing::Place, nil] the current span's trace_id, span_id and whether it is sampled?; nil outside of any
    def current_trace
      Tracing.current
    end

    # What carries the current trace to another process, by W3C's Trace Context: to be sent along with a request or a
    # message.
    #
    # @return [Hash{String => String}] traceparent, and tracestate if there is one; empty outside of any trace
    def trace_headers
      Tracing.headers
    end

    # Runs the block inside a span of the trace that another process sent along.
    #
    # @param headers [Hash{String => String}] with what {.trace_headers} gave there
    # @param name [String, Symbol]
    # @param attributes (see .span)
    # @yieldparam (see .span)
    # @return (see .span)
    def continue_trace(headers, name, attributes = {}, &)
      raise ArgumentError, "TaskerTelemetry.continue_trace needs a block" unless block_given?

      Tracing.in_span(name, attributes, :internal, Tracing.carried(headers), &)
    end

    # Sends what was recorded until now.
    #
    # @param timeout [Numeric] seconds that it may take, a year at most
    # @return [Boolean] whether all of it was taken
    def flush(timeout: 5)
      Native.flush(timeout.to_f)
    end

    # Sends what was recorded until now, and nothing from then on. It happens by itself when the process ends.
    #
    # @param timeout (see .flush)
    # @return (see .flush)
    def shutdown(timeout: 5)
      Native.shutdown(timeout.to_f)
    end

    # Has what happens in the block, in this fiber, share an id: logs show it.
    #
    # @param id [Object] whatever has `to_s`; nil for none
    # @return [Object] what the block returns
    def with_correlation_id(id, &)
      Correlation.with(id, &)
    end

    # @return [String, nil] the id of {.with_correlation_id}, else that of the request which this fiber answers
    def correlation_id
      Correlation.current
    end

    # @return [Logger] where the gem's own words go
    def logger
      Log.logger
    end

    # Called by the native side with a value of a payload, where only Ruby can say what of it may be shown.
    #
    # @api private
    def filter_value(name, value)
      filters.deep(name, value)
    end

    # Called by the native side with an event that is for the log.
    #
    # @api private
    def log_event(name, payload, trace_id, span_id, duration, nanoseconds)
      Logs.write(name: name, payload: payload, trace_id: trace_id, span_id: span_id, duration: duration,
                 time: Time.at(0, nanoseconds, :nanosecond))
    end

    # Called by the native side where an event begins outside of any span.
    #
    # @api private
    # @return [Array(String, String), nil]
    def foreign_trace
      Tracing.foreign
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
at_exit { TaskerTelemetry::Native.shutdown(TaskerTelemetry::EXIT_TIMEOUT) }
