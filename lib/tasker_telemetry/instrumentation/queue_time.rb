# frozen_string_literal: true

module TaskerTelemetry
  module Instrumentation
    # How long a request waited between the proxy and the application, from the header in which the proxy notes when it
    # took the request: `t=1700000000.123` by nginx, milliseconds by Heroku, microseconds by Apache.
    #
    # @api private
    class QueueTime
      HEADERS = %w[HTTP_X_REQUEST_START HTTP_X_QUEUE_START].freeze
      # Of several proxies the first one notes first. No more digits than a Float of nanoseconds tells apart.
      NOTED = /\A\s*(?:t=)?(\d{10,19}(?:\.\d{1,9})?)\s*(?:,|\z)/
      # Seconds since 1970 below this are seconds (up to the year 5138), a thousand times as much are milliseconds, and
      # so on up to nanoseconds.
      SECONDS_BELOW = 1e11
      # What is longer ago is no time that a request waited.
      LONGEST = 3600
      private_constant :HEADERS, :NOTED, :SECONDS_BELOW, :LONGEST

      # @param env [Hash] Rack's
      # @return [Float, nil] seconds; nil where nothing sensible was noted
      def self.of(env)
        noted = env[HEADERS[0]] || env[HEADERS[1]] or return
        digits = noted[NOTED, 1] or return
        since = digits.to_f
        since /= 1000 while since >= SECONDS_BELOW
        waited = Process.clock_gettime(Process::CLOCK_REALTIME) - since
        waited if waited.between?(0, LONGEST)
      rescue ArgumentError
        # Bytes that are no text.
        nil
      end

      def initialize
        Instrumentation.guard(:rack) do
          @duration = TaskerTelemetry.histogram(:http_request_queue_duration_seconds,
                                                "Time from the proxy to the application", unit: :seconds).with
        end
      end

      # @param env [Hash] Rack's
      def observe(env)
        Instrumentation.guard(:rack) do
          waited = QueueTime.of(env)
          @duration&.observe(waited) if waited
        end
      end
    end
  end
end
