# frozen_string_literal: true

module TaskerTelemetry
  # What the gem layer counts about itself. The core adds its own, and no prefix applies to any of them.
  #
  # @api private
  module OwnMetrics
    class << self
      def collect_runs
        @collect_runs ||= Native.counter("tasker_telemetry_collect_runs_total", "Runs of collect blocks",
                                         %w[block outcome], nil, true)
      end

      def collect_duration
        @collect_duration ||= Native.histogram("tasker_telemetry_collect_duration_seconds",
                                               "What runs of collect blocks took", %w[block], "seconds", nil, true)
      end
    end
  end
end
