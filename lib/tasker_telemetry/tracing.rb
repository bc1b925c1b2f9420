# frozen_string_literal: true

require "tasker_telemetry/text"
require "tasker_telemetry/tracing/requests"

module TaskerTelemetry
  # Spans around code, and the way that a trace takes from process to process.
  #
  # @api private
  module Tracing
    # Where a trace stands: `trace_id` and `span_id` in lower-case hexadecimal digits, 32 and 16 of them.
    Place = Struct.new(:trace_id, :span_id, :sampled) do
      alias_method :sampled?, :sampled
    end

    HEADERS = %w[traceparent tracestate].freeze

    class << self
      # Has the trace go along with the jobs of the libraries that are loaded by now, and with requests by Net::HTTP
      # where that is asked for. Nothing is done twice; nothing comes of it while traces are off.
      #
      # @return [nil]
      def install
        if defined?(::ActiveSupport)
          require "active_support/lazy_load_hooks"
          ActiveSupport.on_load(:active_job) { Tracing.carry(:jobs, self) }
        end
        carry(:sidekiq) if defined?(::Sidekiq.configure_server)
        carry(:net_http) if TaskerTelemetry.config.traces.net_http
        nil
      end

      # @api private
      def carry(name, *base)
        require "tasker_telemetry/tracing/#{name}"
        { jobs: :Jobs, sidekiq: :Sidekiq, net_http: :NetHTTP }.fetch(name).then { |part| const_get(part).install(*base) }
      end

      # Runs the block inside a span. The span ends with the block, however the block is left.
      def in_span(name, attributes = nil, kind = :internal, headers = nil)
        span = start(name, attributes, kind, headers)
        begin
          yield span
        rescue Exception => e # rubocop:disable Lint/RescueException -- what a signal ended has failed as well
          span.record_exception(e)
          raise
        ensure
          span.finish
        end
      end

      # Begins a span that somebody else ends.
      def start(name, attributes, kind, headers = nil)
        parent = headers || foreign
        # Nothing to splat makes an object too.
        parent ? Native.start_span(name, attributes, kind, *parent) : Native.start_span(name, attributes, kind)
      end

      # @return [Place, nil] the current span's
      def current
        place = Native.current_trace
        Place.new(*place).freeze if place
      end

      # @return [Hash{String => String}] what carries the current trace to another process; empty outside of any
      def headers
        HEADERS.zip(Native.trace_headers || []).to_h.compact
      end

      # @param carrier [#[]] with W3C's traceparent, and tracestate if there was one
      # @return [Array(String, String), nil] both, for {.in_span}; nil when it carries no trace, or is no carrier
      def carried(carrier)
        parent = carrier["traceparent"] if carrier.respond_to?(:[])
        [parent, carrier["tracestate"]] if parent.is_a?(String)
      rescue *Failure::PASSING
        raise
      rescue Exception # rubocop:disable Lint/RescueException -- what came from elsewhere may be a list, a number or anything
        nil
      end

      # The current span of OpenTelemetry Ruby, where that is loaded and no span of ours is open: ours join its trace.
      def foreign
        return unless foreign? && !Native.tracing?

        # Events begin on the native side, which asks only where it was told to.
        Native.join_foreign
        context = ::OpenTelemetry::Trace.current_span.context
        return unless context.valid?

        ["00-#{context.hex_trace_id}-#{context.hex_span_id}-0#{context.trace_flags.sampled? ? 1 : 0}",
         context.tracestate&.to_s]
      rescue *Failure::PASSING
        raise
      rescue Exception => e # rubocop:disable Lint/RescueException -- code of another library's, and events pass here
        Log.limited(%i[tracing foreign]) { "OpenTelemetry's current span could not be read: #{Failure.describe(e)}" }
        nil
      end

      # Whether OpenTelemetry Ruby is loaded.
      def foreign?
        defined?(::OpenTelemetry::Trace) && ::OpenTelemetry::Trace.respond_to?(:current_span)
      end
    end
  end
end
