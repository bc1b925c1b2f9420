# frozen_string_literal: true

require "tasker_telemetry"

module Bench
  module Subjects
    # This gem, on a file in shared memory as in production.
    class Ours
      def self.title
        "tasker_telemetry #{TaskerTelemetry::VERSION}"
      end

      def initialize(directory)
        @arena = File.join(directory, "bench.arena")
        TaskerTelemetry.configure do |config|
          config.service_name = "bench"
          config.environment = "bench"
          config.metrics.arena = @arena
          config.metrics.max_series = 2_000_000
        end
        @orders = TaskerTelemetry.counter(:orders_total, "Orders", labels: %i[status queue])
      end

      def calls
        visits = TaskerTelemetry.counter(:visits_total, "Visits")
        depth = TaskerTelemetry.gauge(:queue_depth, "Jobs waiting")
        latency = TaskerTelemetry.histogram(:checkout_seconds, "Time to check out", labels: %i[status queue])
        { "bound counter" => [@orders.with(**LABELS), "it.increment"],
          "counter" => [visits, "it.increment"],
          "counter, 2 labels" => [@orders, 'it.increment(status: "paid", queue: "mail")'],
          "counter, 2 labels, constant Hash" => [@orders, "it.increment(**Bench::LABELS)"],
          "gauge" => [depth, "it.set(7)"],
          "bound histogram" => [latency.with(**LABELS), "it.observe(0.31)"],
          "histogram, 2 labels" => [latency, 'it.observe(0.31, status: "paid", queue: "mail")'] }
      end

      # What several threads and processes write to.
      def shared_call
        calls.fetch("bound counter")
      end

      def count(status, queue)
        @orders.increment(status: status, queue: queue)
      end

      def page
        TaskerTelemetry.export(:prometheus)
      end

      # Answers what the page came to, one piece in memory at a time.
      def stream
        page = TaskerTelemetry::MetricsBackend.instance.page(:prometheus)
        bytes = 0
        while (piece = page.next_chunk)
          bytes += piece.bytesize
          piece.clear
        end
        bytes
      end

      def shared_bytes
        File.stat(@arena).blocks * 512
      end
    end
  end
end
