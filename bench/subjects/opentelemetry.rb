# frozen_string_literal: true

module Bench
  module Subjects
    # The metrics SDK of OpenTelemetry. It has no text format, and each process exports its own.
    class OpenTelemetry
      VARIABLE = "OPENTELEMETRY_RUBY"
      PARTS = %w[api common registry semantic_conventions sdk metrics_api metrics_sdk].freeze

      def self.title
        "OpenTelemetry metrics SDK #{::OpenTelemetry::SDK::Metrics::VERSION}"
      end

      # The directory that an environment variable names.
      def self.checkout(variable)
        ENV.fetch(variable) { raise LoadError, "#{variable} names no checkout of it" }
      end

      def self.load_path(parts)
        path = checkout(VARIABLE)
        parts.each { |part| $LOAD_PATH.unshift File.join(path, part, "lib") }
      end

      def self.meter
        provider = ::OpenTelemetry::SDK::Metrics::MeterProvider.new
        provider.add_metric_reader(::OpenTelemetry::SDK::Metrics::Export::InMemoryMetricPullExporter.new)
        provider.meter("bench")
      end

      def initialize(_directory)
        self.class.load_path(PARTS)
        require "opentelemetry-metrics-sdk"

        @meter = self.class.meter
      rescue SyntaxError
        raise LoadError, "its metrics SDK is not written for Ruby #{RUBY_VERSION}"
      end

      def calls
        orders = @meter.create_counter("orders_total", unit: "1", description: "Orders")
        visits = @meter.create_counter("visits_total", unit: "1", description: "Visits")
        depth = @meter.create_gauge("queue_depth", unit: "1", description: "Jobs waiting")
        latency = @meter.create_histogram("checkout_seconds", unit: "s", description: "Time to check out")
        { "counter" => [visits, "it.add(1)"],
          "counter, 2 labels" => [orders, 'it.add(1, attributes: { "status" => "paid", "queue" => "mail" })'],
          "counter, 2 labels, constant Hash" => [orders, "it.add(1, attributes: Bench::ATTRIBUTES)"],
          "gauge" => [depth, "it.record(7)"],
          "histogram, 2 labels" => [latency, 'it.record(0.31, attributes: { "status" => "paid", "queue" => "mail" })'] }
      end
    end
  end
end
