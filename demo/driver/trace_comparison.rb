# frozen_string_literal: true

require_relative "counted"
require_relative "spans"

module Demo
  # What the collector got, span by span, beside what others know to be true. To be asked when the application has
  # ended, and the collector too: then there is nothing on its way any more.
  class TraceComparison
    STEPS = %w[record verify store].freeze

    # @param answered [Hash{String=>Integer}] what the load generator's log says
    def initialize(application, spans, answered, ledger)
      @application = application
      @spans = spans
      @answered = answered
      @ledger = ledger
      @audits = application.database.audits
      @log = application.access_log
      @web = application.web_processes
      @counted = Counted.new(application.export("json"))
    end

    def call
      tasks
      steps
      durations
      requests
      jobs
      all
    end

    private

    def tasks
      @ledger.section("tasks as traces", %w[database collector])
      @ledger.row("traces", [@audits.size, @spans.tasks.size])
      @ledger.row("packages, a trace each", [@audits.size, @spans.tasks.map(&:packages).uniq.count(&:one?)])
      tasks_that("are one tree, the task its root", &:whole?)
      tasks_that("went from a web to the job process") { |task| task.across?(@web, @application.job_process) }
      tasks_that("hold the steps that were run") { |task| task.tells?(audit(task)) }
      @ledger.row("tasks that failed", [@audits.count(&:failed?), failed(roots)])
    end

    def steps
      @ledger.section("attempts at steps as spans", %w[database collector])
      STEPS.each { |step| @ledger.row(step, [attempts(step), spans_of(step).size]) }
      @ledger.row("that failed", [@audits.sum(&:failed_attempts), failed(@spans.tasks.flat_map(&:steps))])
      @ledger.row("that were tried again", [@audits.sum(&:retries), @spans.tasks.count(&:retried?)])
    end

    # Nothing here depends on how fast the machine is: what was timed inside of something else cannot have taken longer.
    # The application times a step inside of the events that tell of it, in a histogram of its own, and all of an audit
    # until its result is stored around them, in a column. Both read the clock that cannot be set; the wall clock, which
    # spans have their times from, differs from it only when somebody sets it.
    def durations
      @ledger.section("true durations", %w[database collector])
      tasks_that("cover all of their steps", &:covers_steps?)
      tasks_that("are no shorter than the audit") { |task| task.root.duration >= audit(task).seconds }
      tasks_that("have steps no longer than it") { |task| task.seconds("record", "verify") <= audit(task).seconds }
      tasks_that("lie between request and job's end") { |task| within_origin?(task) }
      verified
      told
    end

    def verified
      record, verify = %w[record verify].map { |step| timed("audit_step_duration_seconds", "step", step) }
      @ledger.section("seconds", ["histogram", "collector", "database allows"])
      @ledger.ascending("verify", [verify, seconds("verify"), @audits.sum(&:seconds) - record])
    end

    # Metrics and spans of events are of one making, so here is no room for the smallest difference.
    def told
      @ledger.section("seconds", ["made by events", "collector"])
      STEPS.each { |step| @ledger.sums(step, [timed("step_duration_seconds", "step_name", step), seconds(step)]) }
      @ledger.sums("whole tasks", [@counted.sum("task_duration_seconds"), roots.sum(&:duration)])
    end

    def requests
      @ledger.section("requests as spans", ["wrk's log", "collector"])
      @ledger.row("all", [@answered["answered"], @spans.requests.size])
      %w[2xx 4xx 5xx].each { |status| @ledger.row(status, [@answered[status], @spans.classes.fetch(status, 0)]) }
      @ledger.row("with status error", [@answered["5xx"], failed(@spans.requests)])
      @ledger.section("scrapes, and who answered", ["access log", "collector"])
      @ledger.row("scrapes", [scrapes, @spans.scrapes.size])
      by_worker = @log.map { |line| line[:worker] }.tally
      by_process = @spans.answered_by
      @ledger.row("workers with all their requests",
                  [by_worker.size, by_worker.count { |worker, number| by_process[worker] == number }])
    end

    def jobs
      @ledger.section("jobs as spans", %w[database collector])
      { "enqueued" => @spans.jobs_asked_for, "run" => @spans.jobs,
        "in the trace of their request" => @spans.jobs_of_requests,
        "linked to by their task" => @spans.tasks.filter_map { |task| task.origin(@spans.traces)&.last }.uniq }
        .each { |name, jobs| @ledger.row(name, [@audits.size, jobs.size]) }
      @ledger.row("that failed", [@application.database.failed_jobs, failed(@spans.jobs)])
    end

    def all
      @ledger.section("spans in all", %w[known application collector])
      @ledger.row("sent", [known, @counted.total("tasker_telemetry_exported_spans_total"), @spans.all.size])
      begun = %w[task step].sum { |what| @counted.total("#{what}_started_total") }
      ended = @spans.tasks.sum { |task| 1 + task.steps.size }
      @ledger.row("tasks and steps, none left open", [@audits.size + attempts, begun, ended])
      @ledger.row("with beginning and end", [known, @spans.ended.size])
      dropped = @counted.by("reason", "tasker_telemetry_dropped_spans_total").reject { |_, spans| spans.zero? }
      @ledger.row(["dropped", *dropped.keys].join(", "), [0, dropped.values.sum])
    end

    # Of each package a task with the event that asked for it, and a job with the span that enqueued it; and the rest.
    def known
      @answered["answered"] + scrapes + (@audits.size * 4) + attempts + @audits.sum(&:retries)
    end

    # Counts the tasks of which the block holds. One that lacks its root, or that nobody asked for, is none.
    def tasks_that(name)
      @ledger.row(name, [@audits.size, @spans.tasks.count { |task| task.root && audit(task) && yield(task) }])
    end

    def roots
      @spans.tasks.filter_map(&:root)
    end

    def attempts(*steps)
      @audits.sum { |audit| (steps.empty? ? audit.attempts : audit.attempts.slice(*steps)).values.sum }
    end

    # @return [Audit, nil]
    def audit(task)
      @by_packages ||= @audits.to_h { |audit| [[audit.package], audit] }
      @by_packages[task.packages]
    end

    def spans_of(step)
      @spans.tasks.flat_map(&:steps).select { |span| span.name == "step #{step}" }
    end

    def seconds(step)
      spans_of(step).sum(&:duration)
    end

    def timed(histogram, label, step)
      @counted.sum(histogram) { |labels| labels[label] == step }
    end

    def failed(spans)
      spans.count { |span| span.status == :error }
    end

    def scrapes
      @log.count { |line| line[:path] == Spans::SCRAPED }
    end

    # The task began while the request was answered that asked for it, and ended before the job did.
    def within_origin?(task)
      trace, job = task.origin(@spans.traces)
      trace && trace.roots.first.start_ns <= task.root.start_ns && task.root.end_ns <= job.end_ns
    end
  end
end
