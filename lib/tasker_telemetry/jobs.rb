# frozen_string_literal: true

module TaskerTelemetry
  # Counts jobs from what ActiveJob says through ActiveSupport::Notifications.
  #
  # `retry_on` and `discard_on` swallow the exception, and tell by an event of their own what became of the job. From
  # Rails 7 on that event comes inside the event of the run. Before, it comes after it, so there the run is followed
  # for as long as `perform_now` lasts.
  #
  # @api private
  class Jobs
    LABELS = %i[job queue outcome].freeze
    OUTCOMES = {
      "enqueue_retry.active_job" => "retried",
      "retry_stopped.active_job" => "failed",
      "discard.active_job" => "discarded"
    }.freeze
    RUNS = :tasker_telemetry_job_runs

    # A run under way; `owner` is what ends it: the payload of its event, or the job itself where it is followed.
    Run = Struct.new(:owner, :job, :started, :outcome)

    # Marks where a run begins and ends in Rails before 7.
    module Following
      def perform_now
        Jobs.instance.follow(self) { super }
      end
    end

    class << self
      attr_reader :instance

      # Declares what is counted.
      #
      # @return [Array] the counter and the histogram
      def instruments
        [TaskerTelemetry.counter(:jobs_total, "Jobs performed", labels: LABELS),
         TaskerTelemetry.histogram(:job_duration_seconds, "Time to perform a job", labels: LABELS, unit: :seconds)]
      end

      # Does nothing the second time.
      #
      # @param base [Class] ActiveJob::Base
      def install(base)
        return if @instance

        @instance = new
        @instance.subscribe
        base.prepend(Following) unless ActiveJob::Instrumentation.method_defined?(:perform_now)
      end
    end

    def initialize
      @total, @duration = self.class.instruments
    end

    def subscribe
      ActiveSupport::Notifications.subscribe("perform.active_job", self)
      OUTCOMES.each do |event, outcome|
        ActiveSupport::Notifications.subscribe(event) { |*, payload| decide(payload[:job], outcome) }
      end
    end

    # The run's event begins.
    def start(_name, _id, payload)
      begin_run(payload, payload[:job]) unless followed?(payload[:job])
    end

    # The run's event ends.
    def finish(_name, _id, payload)
      decide(payload[:job], "discarded") if payload[:aborted]
      end_run(payload, raised: payload.key?(:exception)) unless followed?(payload[:job])
    end

    # The whole of `perform_now`.
    def follow(job)
      begin_run(job, job)
      result = yield
      end_run(job, raised: false)
      result
    rescue Exception # rubocop:disable Lint/RescueException -- a job that a signal ended has failed as well
      end_run(job, raised: true)
      raise
    end

    private

    # Per fiber, since runs nest: a job may perform another.
    def runs
      Thread.current[RUNS] ||= []
    end

    def followed?(job)
      runs.last&.owner.equal?(job)
    end

    def begin_run(owner, job)
      runs.push(Run.new(owner, job, Clock.now))
    end

    def decide(job, outcome)
      run = runs.last
      run.outcome = outcome if run&.job.equal?(job)
    end

    def end_run(owner, raised:)
      # A run whose end was never told, since another subscriber raised at its beginning, goes with the one around it.
      index = runs.rindex { |run| run.owner.equal?(owner) } or return
      run = runs.slice!(index..).first
      record(run, raised ? "failed" : run.outcome || "completed")
    end

    def record(run, outcome)
      labels = { job: run.job.class.name, queue: run.job.queue_name, outcome: outcome }
      @total.increment(**labels)
      @duration.observe(Clock.now - run.started, **labels)
    rescue StandardError => e
      Log.limited(:jobs, :error) { "a job could not be counted: #{Failure.describe(e)}" }
    end
  end
end
