# frozen_string_literal: true

require "tasker_telemetry/instrumentation/names"
require "tasker_telemetry/instrumentation/sampler"

module TaskerTelemetry
  module Instrumentation
    # What waits in Redis, read by Sidekiq processes alone. Each keeps what it read, and the pages show the largest of
    # those that are alive: when the last of them ends the series go, instead of standing still.
    #
    # @api private
    module SidekiqQueues
      SETS = { "scheduled" => :scheduled_size, "retry" => :retry_size, "dead" => :dead_size }.freeze

      class << self
        # In the Sidekiq process, once it has started.
        def install
          Instrumentation.guard(:sidekiq) do
            require "sidekiq/api"
            declare
            @queues = Names.new
            @known = []
            Sampler.add(:sidekiq) { read }
            Sampler.start
          end
        end

        private

        def declare
          @size = gauge(:sidekiq_queue_size, "Jobs that wait in a queue", labels: %i[queue])
          @latency = gauge(:sidekiq_queue_latency_seconds, "How long the oldest job of a queue has waited",
                           labels: %i[queue], unit: :seconds)
          @set = gauge(:sidekiq_set_size, "Jobs that are scheduled, to be retried, or dead", labels: %i[set])
          @processes = gauge(:sidekiq_processes, "Processes that perform jobs")
          @busy = gauge(:sidekiq_busy, "Jobs that are performed now")
        end

        def gauge(name, help, **options)
          TaskerTelemetry.gauge(name, help, aggregation: :max, **options)
        end

        def read
          read_queues
          stats = ::Sidekiq::Stats.new
          SETS.each { |set, size| @set.set(stats.public_send(size), set: set) }
          @processes.set(stats.processes_size)
          @busy.set(stats.workers_size)
        end

        # Sidekiq forgets a queue that was emptied by `clear`; here it stays, with nothing in it.
        def read_queues
          sizes = Hash.new(0)
          latencies = Hash.new(0)
          ::Sidekiq::Queue.all.each do |queue|
            name = @queues.of(queue.name)
            sizes[name] += queue.size
            latencies[name] = [latencies[name], queue.latency].max
          end
          @known |= sizes.keys
          @known.each do |name|
            @size.set(sizes[name], queue: name)
            @latency.set([latencies[name], 0].max, queue: name)
          end
        end
      end
    end
  end
end
