# frozen_string_literal: true

require "tasker_telemetry/instrumentation/sampler"

module TaskerTelemetry
  module Instrumentation
    # The server that runs in this process, by what Puma says of it: the one of a single Puma, or that of a worker.
    #
    # @api private
    module Puma
      VALUES = {
        threads_max: "Threads that a server may have",
        threads_running: "Threads that a server has",
        threads_busy: "Threads that answer a request",
        pool_capacity: "Requests that a server could take at once",
        backlog: "Requests that wait for a thread"
      }.freeze
      # The server by which `pumactl` controls Puma.
      CONTROL = "ctl"
      private_constant :VALUES, :CONTROL

      # Tells when a server begins to serve, in the process where it does.
      module Following
        def run(*, **options)
          Puma.serving(self, options[:thread_name])
          super
        end
      end

      @reading = Mutex.new

      class << self
        def install
          declare
          ::Puma::Server.prepend(Following)
          Sampler.add(:puma) { read }
        end

        def serving(server, thread_name)
          return if thread_name == CONTROL

          Instrumentation.guard(:puma) do
            begin_counting(server)
            Sampler.start
          end
        end

        private

        def declare
          @gauges = VALUES.to_h { |name, help| [name, gauge(name, help)] }
          @phase = gauge(:phase, "Phased restarts that Puma had made when the worker began")
          @workers = TaskerTelemetry.gauge(:puma_workers, "Processes that serve", aggregation: :sum)
          @boots = TaskerTelemetry.counter(:puma_worker_boots_total, "Processes that began to serve")
          @requests = TaskerTelemetry.counter(:puma_requests_total, "Requests that Puma took")
        end

        def gauge(name, help)
          TaskerTelemetry.gauge(:"puma_#{name}", help, aggregation: :per_process)
        end

        def begin_counting(server)
          first = @process != Process.pid
          @reading.synchronize do
            @server = server
            @process = Process.pid
            @taken = 0
          end
          return unless first

          @boots.increment
          @workers.set(1)
          # What was taken since the last reading.
          at_exit { Instrumentation.guard(:puma) { read } }
        end

        # A process that was forked by one that serves has its server as well, and serves nobody.
        def read
          return unless @process == Process.pid

          stats = @reading.synchronize { @server.stats.tap { |now| count(now[:requests_count]) } }
          values(stats).each { |name, value| @gauges[name].set(value) }
          phase = ::Puma.stats_hash[:phase] and @phase.set(phase)
        end

        # A server that begins anew in its process begins at 0.
        def count(requests)
          @requests.increment(requests - @taken) if requests > @taken
          @taken = requests
        end

        # Newer Pumas say how many are busy, and mean the backlog with them. The capacity is what threads that wait and
        # threads that are not there yet could take.
        def values(stats)
          busy = stats[:max_threads] - stats[:pool_capacity]
          { threads_max: stats[:max_threads], threads_running: stats[:running], threads_busy: [busy, 0].max,
            pool_capacity: stats[:pool_capacity], backlog: stats[:backlog] }
        end
      end
    end
  end
end
