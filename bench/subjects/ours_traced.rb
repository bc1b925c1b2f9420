# frozen_string_literal: true

require "active_support"
require "active_support/notifications"
require "tasker_telemetry"

module Bench
  module Subjects
    # This gem with traces: an event becomes a count and a span.
    class OursTraced
      def self.title
        "tasker_telemetry #{TaskerTelemetry::VERSION}"
      end

      def initialize(directory)
        @directory = directory
      end

      def trace_to(endpoint)
        TaskerTelemetry.configure do |config|
          config.service_name = config.environment = "bench"
          config.metrics.arena = File.join(@directory, "bench.arena")
          config.traces.enabled = true
          config.traces.endpoint = endpoint
        end
        TaskerTelemetry.events.map("bench.done", backends: %i[metrics traces], labels: %i[status])
      end

      def calls
        { "event" => EVENT,
          "span, 2 attributes" => [TaskerTelemetry, 'it.span("charge", { "amount" => 12, "currency" => "eur" }) {}'] }
      end

      def flush
        TaskerTelemetry.flush(timeout: 30) or raise "not everything was sent"
      end
    end
  end
end
