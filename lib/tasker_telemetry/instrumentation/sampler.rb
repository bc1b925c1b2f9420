# frozen_string_literal: true

module TaskerTelemetry
  module Instrumentation
    # Values that are read rather than counted: of a connection pool, a server's threads, a queue. They are read by a
    # collect block when this process is scraped. But of many processes only one is, and a Sidekiq process never; so
    # where a server runs a thread reads them now and then as well, for the pages that others answer.
    #
    # @api private
    module Sampler
      @readings = {}
      @starting = Mutex.new

      class << self
        # @param name [Symbol] the instrumentation's; its reading takes the place of the one before
        def add(name, &reading)
          @readings = @readings.merge(name => reading)
          TaskerTelemetry.collect(&reading)
        end

        # To be called in each process that should read by itself; after a fork there is no thread any more.
        def start
          @starting.synchronize do
            next if @thread&.alive?

            @thread = Thread.new { read_for_ever }
            @thread.name = "tasker_telemetry sampler"
          end
        end

        private

        def read_for_ever
          loop do
            @readings.each { |name, reading| Instrumentation.guard(name, &reading) }
            sleep TaskerTelemetry.config.instrumentation.interval
          end
        end
      end
    end
  end
end
