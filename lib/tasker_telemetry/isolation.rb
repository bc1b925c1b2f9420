# frozen_string_literal: true

require "tasker_telemetry/failure"

module TaskerTelemetry
  # Keeps what a subscriber raises away from the code that published the event: it is counted, logged now and then, and
  # reported to Rails where Rails takes reports (7.0 and newer).
  #
  # @api private
  module Isolation
    ANONYMOUS = "anonymous"
    # Set while an error is reported: a report may publish an event, whose subscriber may raise.
    REPORTING = :tasker_telemetry_reporting
    private_constant :ANONYMOUS, :REPORTING

    class << self
      # Runs the block; whatever it raises ends here, but for what is meant for the process.
      #
      # @param subscriber [String] who it is, by {.label}
      # @param event [String] what it was told
      # @return [Object, nil] what the block returns; nil when it raised
      def guard(subscriber, event)
        yield
      rescue *Failure::PASSING
        raise
      rescue Exception => e # rubocop:disable Lint/RescueException -- NotImplementedError, and whatever else a handler may raise
        failed(subscriber, event, e)
        nil
      end

      # A name for a subscriber that is one of few, as a label should be: its class, or where its block was written.
      #
      # @return [String]
      def label(subscriber)
        case subscriber
        when Proc, Method then location(subscriber)
        when Module then subscriber.name || ANONYMOUS
        else subscriber.class.name || ANONYMOUS
        end
      end

      private

      def failed(subscriber, event, error)
        OwnMetrics::SUBSCRIBER_ERRORS.increment(subscriber: subscriber)
        return if Thread.current[REPORTING]

        Thread.current[REPORTING] = true
        begin
          Log.limited([:subscriber, subscriber], :error) do
            "#{subscriber} raised on the event #{Text.of(event)}: #{Failure.describe(error)}"
          end
          report(subscriber, event, error)
        ensure
          Thread.current[REPORTING] = nil
        end
      end

      def report(subscriber, event, error)
        return unless defined?(::Rails) && ::Rails.respond_to?(:error) && ::Rails.error

        ::Rails.error.report(error, handled: true, context: { subscriber: subscriber, event: event })
      rescue *Failure::PASSING
        raise
      rescue Exception => e # rubocop:disable Lint/RescueException -- code of the application's, as the subscriber was
        Log.limited(:error_report, :error) { "Rails.error.report raised #{e.class}" }
      end

      # The path below the application stays the same from release to release.
      def location(block)
        file, line = block.source_location
        return ANONYMOUS unless file

        root = "#{::Rails.root}/" if defined?(::Rails.root) && ::Rails.root
        "#{root ? file.delete_prefix(root) : file}:#{line}"
      end
    end
  end
end
