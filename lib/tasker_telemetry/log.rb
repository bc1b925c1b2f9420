# frozen_string_literal: true

require "logger"

module TaskerTelemetry
  # Words to the operator. Whatever the application's logger does (raise, be closed, need a lock that a trap handler
  # may not take), the caller goes on: everything said here is counted elsewhere as well.
  #
  # @api private
  module Log
    # Seconds between two lines about the same matter.
    INTERVAL = 60

    @matters = {}

    class << self
      # @return [Logger] the configured one, else Rails', else one on standard error
      def logger
        TaskerTelemetry.config.logger || rails_logger || own_logger
      end

      def warn(message)
        write(:warn) { message }
      end

      def error(message)
        write(:error) { message }
      end

      # Logs the first of a kind at once, and afterwards one line per interval with the number that went unsaid.
      # It holds no lock, since it may run in a trap handler: two threads at once can at worst say the same twice.
      #
      # @param matter [Object] a small set of values; lines about the same matter are limited together
      def limited(matter, level = :warn)
        now = Clock.now
        due, unsaid = @matters[matter]
        return @matters[matter] = [due, unsaid + 1] if due && now < due

        # Noted before it is written, so that a logger which itself causes such a line does not go round in circles.
        @matters[matter] = [now + INTERVAL, 0]
        write(level) { "#{yield}#{" (and #{unsaid} more since the last such line)" if unsaid&.positive?}" }
      end

      # Writes a line of somebody's as it is.
      #
      # @return [Boolean] false when the logger cannot
      def line(level, text)
        logger.public_send(level, text)
        true
      rescue *Failure::PASSING
        raise
      rescue Exception # rubocop:disable Lint/RescueException -- as below
        false
      end

      # Says what the native side noticed by itself.
      def notices
        Native.take_notices.each { |level, message| write(level) { message } }
      end

      # Forgets which matters were logged.
      def reset
        @matters.clear
      end

      private

      def write(level)
        logger.public_send(level, "tasker_telemetry: #{yield}")
        nil
      rescue *Failure::PASSING
        raise
      rescue Exception # rubocop:disable Lint/RescueException -- a logger may lack the method, or recurse for ever
        nil
      end

      def rails_logger
        ::Rails.logger if defined?(::Rails.logger)
      end

      def own_logger
        @own_logger ||= ::Logger.new($stderr)
      end
    end
  end
end
