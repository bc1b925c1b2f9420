# frozen_string_literal: true

require "active_support"
require "active_support/notifications"

require_relative "opentelemetry"

module Bench
  module Subjects
    # OpenTelemetry with its batch processor and OTLP over HTTP: an event becomes a span by the subscriber of its
    # instrumentation of ActiveSupport, and a count where its metrics SDK runs.
    class OpenTelemetryTraced
      VARIABLE = "OPENTELEMETRY_RUBY_CONTRIB"
      PARTS = [*OpenTelemetry::PARTS, "exporter/otlp", "exporter/otlp-common"].freeze
      SUBSCRIBER = "instrumentation/active_support/lib/opentelemetry/instrumentation/active_support/span_subscriber"

      def self.title
        "OpenTelemetry SDK #{::OpenTelemetry::SDK::VERSION}#{" without metrics" unless counts?}"
      end

      def self.counts?
        !defined?(::OpenTelemetry::SDK::Metrics::MeterProvider).nil?
      end

      def initialize(_directory)
        OpenTelemetry.load_path(PARTS)
        require "opentelemetry/sdk"
        require "opentelemetry/exporter/otlp"
        load_metrics
        require File.join(OpenTelemetry.checkout(VARIABLE), SUBSCRIBER)
      end

      def trace_to(endpoint)
        exporter = ::OpenTelemetry::Exporter::OTLP::Exporter.new(endpoint: "#{endpoint}/v1/traces")
        @processor = ::OpenTelemetry::SDK::Trace::Export::BatchSpanProcessor.new(exporter)
        provider = ::OpenTelemetry::SDK::Trace::TracerProvider.new
        provider.add_span_processor(@processor)
        @tracer = provider.tracer("bench")
        ActiveSupport::Notifications.subscribe("bench.done", subscriber)
      end

      def calls
        code = 'it.in_span("charge", attributes: { "amount" => 12, "currency" => "eur" }) {}'
        { "event" => EVENT, "span, 2 attributes" => [@tracer, code] }
      end

      def flush
        @processor.force_flush(timeout: 30) == ::OpenTelemetry::SDK::Trace::Export::SUCCESS or
          raise "not everything was sent"
      end

      private

      # Its metrics SDK is written for Ruby 3.3.
      def load_metrics
        require "opentelemetry-metrics-sdk"
      rescue SyntaxError
        nil
      end

      def subscriber
        spans = ::OpenTelemetry::Instrumentation::ActiveSupport::SpanSubscriber
        return spans.new(pattern: "bench.done", tracer: @tracer) unless self.class.counts?

        counter = OpenTelemetry.meter.create_counter("bench_done_total", unit: "1", description: "Events")
        Class.new(spans) do
          define_method(:finish) do |name, id, payload|
            super(name, id, payload)
            counter.add(1, attributes: { "status" => payload[:status] })
          end
        end.new(pattern: "bench.done", tracer: @tracer)
      end
    end
  end
end
