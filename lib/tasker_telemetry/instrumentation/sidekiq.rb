# frozen_string_literal: true

require "tasker_telemetry/instrumentation/family"
require "tasker_telemetry/instrumentation/names"
require "tasker_telemetry/instrumentation/sidekiq_queues"

module TaskerTelemetry
  module Instrumentation
    # Sidekiq's own jobs. Those of ActiveJob that run on Sidekiq are counted by the instrumentation of ActiveJob, and
    # here only where that one is switched off.
    #
    # @api private
    module Sidekiq
      LABELS = %i[job queue].freeze
      QUEUES = Names.new
      # What the scheduler and the retries take from a client that is not of this application is not known beforehand.
      JOBS = Names.new(1000)

      class << self
        def install
          @active_job = TaskerTelemetry.config.instrumentation.active_job
          Client.family
          ::Sidekiq.configure_client { |config| count_enqueued(config) }
          ::Sidekiq.configure_server do |config|
            Server.declare
            count_enqueued(config)
            config.server_middleware { |chain| chain.prepend(Server) }
            config.death_handlers << ->(job, _error) { Server.died(job) }
            config.on(:startup) { SidekiqQueues.install }
          end
        end

        # @param job [Hash] as Sidekiq keeps it
        # @return [Array(String, String), nil] its labels; nil for one that is counted elsewhere
        def labels(job)
          wrapped = job["wrapped"]
          return if wrapped && @active_job

          [JOBS.of((wrapped || job["class"]).to_s), QUEUES.of(job["queue"].to_s)]
        end

        private

        def count_enqueued(config)
          config.client_middleware { |chain| chain.prepend(Client) }
        end
      end

      # Counts what is handed to Redis.
      class Client
        STATES = { true => "scheduled", false => "enqueued" }.freeze

        def self.family
          @family ||= Family.new(TaskerTelemetry.counter(:sidekiq_jobs_enqueued_total, "Jobs handed to Sidekiq",
                                                         labels: [*LABELS, :state]))
        end

        def call(_job_class, job, _queue, _redis_pool)
          yield.tap { |pushed| count(job) if pushed }
        end

        private

        def count(job)
          Instrumentation.guard(:sidekiq) do
            labels = Sidekiq.labels(job)
            Client.family[*labels, STATES[job.key?("at")]].first.increment if labels
          end
        end
      end

      # Counts what is performed.
      class Server
        # From here on numbers are milliseconds, which Sidekiq 8 keeps, and no seconds any more.
        SECONDS_BELOW = 1e11

        class << self
          # Early, so that a name that is taken is told while the process starts.
          def declare
            [runs, latencies, retries, deaths]
          end

          def runs
            @runs ||= Family.new(
              TaskerTelemetry.counter(:sidekiq_jobs_total, "Jobs performed", labels: [*LABELS, :outcome]),
              TaskerTelemetry.histogram(:sidekiq_job_duration_seconds, "Time to perform a job",
                                        labels: [*LABELS, :outcome], unit: :seconds)
            )
          end

          def latencies
            @latencies ||= Family.new(TaskerTelemetry.histogram(:sidekiq_job_latency_seconds,
                                                                "Time that a job waited in its queue",
                                                                labels: %i[queue], unit: :seconds))
          end

          def retries
            @retries ||= Family.new(TaskerTelemetry.counter(:sidekiq_job_retries_total,
                                                            "Jobs performed that had failed before", labels: LABELS))
          end

          def deaths
            @deaths ||= Family.new(TaskerTelemetry.counter(:sidekiq_jobs_dead_total,
                                                           "Jobs that failed for the last time", labels: LABELS))
          end

          def died(job)
            Instrumentation.guard(:sidekiq) do
              labels = Sidekiq.labels(job)
              deaths[*labels].first.increment if labels
            end
          end
        end

        def call(_instance, job, _queue)
          labels = Instrumentation.guard(:sidekiq) { Sidekiq.labels(job) } or return yield
          begun(job, labels)
          outcome = "failed"
          started = Clock.now
          begin
            result = yield
            outcome = "completed"
            result
          rescue Exception => e # rubocop:disable Lint/RescueException -- Sidekiq stops a job by one
            outcome = "interrupted" if interrupted?(e)
            raise
          ensure
            ended(labels, outcome, Clock.now - started)
          end
        end

        private

        def begun(job, labels)
          Instrumentation.guard(:sidekiq) do
            Server.retries[*labels].first.increment if job.key?("retry_count")
            enqueued_at = job["enqueued_at"]&.to_f or next
            enqueued_at /= 1000 if enqueued_at >= SECONDS_BELOW
            waited = Process.clock_gettime(Process::CLOCK_REALTIME) - enqueued_at
            Server.latencies[labels.last].first.observe([waited, 0].max)
          end
        end

        def ended(labels, outcome, seconds)
          Instrumentation.guard(:sidekiq) do
            total, duration = Server.runs[*labels, outcome]
            total.increment
            duration.observe(seconds)
          end
        end

        # It goes back to its queue: the process ends, or an iterable job makes room.
        def interrupted?(error)
          error.is_a?(::Sidekiq::Shutdown) ||
            (defined?(::Sidekiq::Job::Interrupted) && error.is_a?(::Sidekiq::Job::Interrupted))
        end
      end
    end
  end
end
