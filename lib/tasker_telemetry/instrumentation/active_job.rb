# frozen_string_literal: true

require "tasker_telemetry/instrumentation/names"
require "tasker_telemetry/instrumentation/subscriber"
require "tasker_telemetry/jobs"

module TaskerTelemetry
  module Instrumentation
    # How jobs come to run; {Jobs} counts the runs.
    #
    # @api private
    class ActiveJob < Subscriber
      LABELS = %i[job queue].freeze
      ENQUEUED = %w[enqueue.active_job enqueue_at.active_job].freeze
      # Of those with a job each; the name of the event of one that was not enqueued again is Rails'.
      COUNTED = {
        "enqueue_retry.active_job" => [:job_retries_total, "Jobs enqueued again after they failed"],
        "retry_stopped.active_job" => [:job_retries_exhausted_total, "Jobs that failed for the last time"],
        "discard.active_job" => [:job_discards_total, "Jobs given up by discard_on"]
      }.freeze

      # Before Rails 7.1 a job forgets when it was due, and knows only to the second when it was enqueued.
      module Due
        KEY = "tasker_telemetry_due_at"

        attr_reader :tasker_telemetry_due_at

        def serialize
          super.merge(KEY => (scheduled_at || Time.now).to_f)
        end

        def deserialize(job_data)
          super
          @tasker_telemetry_due_at = job_data[KEY]
        end
      end

      class << self
        def install
          Jobs.install(::ActiveJob::Base)
          new.subscribe(*ENQUEUED, "enqueue_all.active_job").subscribe_to_the_rest
          ::ActiveJob::Base.prepend(Due) if ::ActiveJob.version < Gem::Version.new("7.1")
        end

        # @return [Float, nil] seconds since 1970; nil for one that nobody enqueued
        def due_at(job)
          return job.tasker_telemetry_due_at if job.respond_to?(:tasker_telemetry_due_at)

          [job.enqueued_at, (job.scheduled_at if job.enqueued_at)].compact.map(&:to_f).max
        end
      end

      def initialize
        super(:active_job)
        enqueued = TaskerTelemetry.counter(:jobs_enqueued_total, "Jobs handed to the queue",
                                           labels: [*LABELS, :outcome])
        latency = TaskerTelemetry.histogram(:job_latency_seconds, "Time from when a job was due until it ran",
                                            labels: %i[queue], unit: :seconds)
        @enqueued = Family.new(enqueued)
        @latency = Family.new(latency)
        @queues = Names.new
      end

      def subscribe_to_the_rest
        COUNTED.each do |event, (name, help)|
          family = Family.new(TaskerTelemetry.counter(name, help, labels: LABELS))
          on(event) { |job| family[job.class.name, @queues.of(job.queue_name)].first.increment }
        end
        on("perform_start.active_job") { |job| began(job) }
      end

      private

      def on(event)
        ActiveSupport::Notifications.subscribe(event) do |*, payload|
          Instrumentation.guard(:active_job) { yield payload[:job] }
        end
      end

      # An event of `perform_all_later` tells of many.
      def record(_event, payload, _seconds)
        jobs = payload[:jobs] || [payload[:job]]
        jobs.each { |job| @enqueued[job.class.name, @queues.of(job.queue_name), outcome(payload, job)].first.increment }
      end

      def outcome(payload, job)
        return "aborted" if payload[:aborted]
        return "failed" if payload.key?(:exception) || (job.respond_to?(:enqueue_error) && job.enqueue_error)

        payload.key?(:jobs) && !job.successfully_enqueued? ? "failed" : "enqueued"
      end

      # The clock of the machine that enqueued it may be ahead.
      def began(job)
        due_at = ActiveJob.due_at(job) or return
        latency = Process.clock_gettime(Process::CLOCK_REALTIME) - due_at
        @latency[@queues.of(job.queue_name)].first.observe([latency, 0].max)
      end
    end
  end
end
