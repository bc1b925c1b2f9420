# frozen_string_literal: true

module TaskerTelemetry
  # Time that no administrator sets: what durations and deadlines are told by.
  #
  # @api private
  module Clock
    # @return [Float] seconds since some moment in the past
    def self.now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
