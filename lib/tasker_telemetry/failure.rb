# frozen_string_literal: true

require "timeout"
require "tasker_telemetry/redaction"

module TaskerTelemetry
  # What to do with exceptions out of code that is not ours: a logger, a collect block, a `message`.
  #
  # @api private
  module Failure
    # Meant for somebody further out (the process, or in newer Rubies a Timeout): to be let through. The native side
    # reads this list as well.
    PASSING = [
      NoMemoryError, SignalException, SystemExit,
      *(Timeout::ExitException if defined?(Timeout::ExitException))
    ].freeze

    class << self
      # An exception in words, without the secrets that it tells. Its message may be code of the application's, so where
      # that raises the class has to do.
      #
      # @param error [Exception]
      # @return [String]
      def describe(error)
        message = message(error)
        message ? "#{error.class}: #{Redaction.text(message)}" : error.class.to_s
      end

      # @param error [Exception]
      # @return [String, nil] its message; nil for one that cannot be had
      def message(error)
        "#{error.message}" # rubocop:disable Style/RedundantInterpolation -- a `message` may give anything
      rescue *PASSING
        raise
      rescue Exception # rubocop:disable Lint/RescueException -- whatever a message raises, it is no message
        nil
      end
    end
  end
end
