# frozen_string_literal: true

module TaskerTelemetry
  # What the gem layer counts about itself. The core adds its own, and no prefix applies to any of them. They are
  # declared from the beginning, so that no default label can take the name of one of theirs.
  #
  # @api private
  module OwnMetrics
    COLLECT_RUNS = Native.counter("tasker_telemetry_collect_runs_total", "Runs of collect blocks",
                                  %w[block outcome], nil, true)
    COLLECT_DURATION = Native.histogram("tasker_telemetry_collect_duration_seconds",
                                        "What runs of collect blocks took", %w[block], "seconds", nil, true)
    SUBSCRIBER_ERRORS = Native.counter("tasker_telemetry_subscriber_errors_total", "What subscribers of events raised",
                                       %w[subscriber], nil, true)
    INSTRUMENTATION_ERRORS = Native.counter("tasker_telemetry_instrumentation_errors_total",
                                            "What an instrumentation failed to count", %w[instrumentation], nil, true)
  end
end
