# frozen_string_literal: true

require "open3"

require_relative "counted"

module Demo
  # What was counted, beside what others know to be true. To be asked while the application runs.
  class Comparison
    CLASSES = %w[2xx 4xx 5xx].freeze
    # The scrapes are requests as well; the load generator knows nothing of them.
    SCRAPES = { "controller" => "", "status" => "2xx" }.freeze
    LOAD = %(http_requests_total{job="package_audit"} unless http_requests_total{controller="",status="2xx"})

    # @param answered [Hash{String=>Integer}] what the load generator's log says
    def initialize(application, prometheus, answered, planned, ledger)
      @application = application
      @prometheus = prometheus
      @answered = answered
      @planned = planned
      @counted = Counted.new(application.export("json"))
      @ledger = ledger
    end

    def call
      requests
      audits
      events
      workers
      promtool
    end

    private

    def requests
      @ledger.section("requests answered", ["wrk's log", "application", "Prometheus"])
      scraped = @prometheus.by("status", LOAD)
      counted = CLASSES.to_h { |status| [status, requests_counted(status)] }
      @ledger.row("all", [@answered["answered"], counted.values.sum, scraped.values.sum])
      { "2xx" => "2xx", "4xx" => "4xx  (unknown routes among them)", "5xx" => "5xx  (the action that raises)" }
        .each { |status, name| @ledger.row(name, [@answered[status], counted[status], scraped.fetch(status, 0)]) }
      @ledger.row("202  = audits asked for", [@answered["accepted"], @counted.total("audit_tasks_total"),
                                              @prometheus.total("audit_tasks_total")])
    end

    def requests_counted(status)
      @counted.total("http_requests_total") do |labels|
        labels["status"] == status && labels.slice(*SCRAPES.keys) != SCRAPES
      end
    end

    def audits
      known = @application.database
      @ledger.section("audits", ["plan, database", "application", "Prometheus"])
      @ledger.row("planned (the rake process)", [@planned, *both("audit_planned_total")])
      known.outcomes.each do |outcome, count|
        @ledger.row("found #{outcome}", [count, @counted.by("outcome", "audit_tasks_total").fetch(outcome, 0),
                                         @prometheus.total(%(audit_tasks_total{outcome="#{outcome}"}))])
      end
      @ledger.row("bytes read", [known.bytes, *both("audit_read_bytes_total")])
      @ledger.row("results stored", [@planned, steps("store"),
                                     @prometheus.total('audit_step_duration_seconds_count{step="store"}')])
      @ledger.row("jobs run", [@planned, *both("jobs_total")])
      @ledger.row("jobs that failed", [known.failed_jobs, failed_jobs,
                                       @prometheus.total('jobs_total{outcome="failed"}')])
    end

    # The metrics that are made of events, by the gem alone.
    def events
      audits = @application.database.audits
      failed = audits.count(&:failed?)
      failures = audits.sum(&:failed_attempts)
      attempts = audits.sum { |audit| audit.attempts.values.sum }
      @ledger.section("events", ["plan, database", "application", "Prometheus"])
      { "task_initialize_requested_total" => @planned, "task_started_total" => @planned,
        "task_completed_total" => @planned - failed, "task_failed_total" => failed,
        "task_duration_seconds" => @planned, "step_started_total" => attempts,
        "step_completed_total" => attempts - failures, "step_failed_total" => failures,
        "step_retried_total" => audits.sum(&:retries), "step_duration_seconds" => attempts }
        .each { |name, known| @ledger.row(name, [known, @counted.total(name), @prometheus.observed(name)]) }
    end

    def both(name)
      [@counted.total(name), @prometheus.total(name)]
    end

    def steps(step)
      @counted.by("step", "audit_step_duration_seconds").fetch(step, 0)
    end

    def failed_jobs
      @counted.by("outcome", "jobs_total").fetch("failed", 0)
    end

    # The same page comes from each of the workers.
    def workers
      pages = @application.page_of_each_worker
      @ledger.section("requests on the page of", pages.keys.map { |worker| "worker #{worker}" })
      @ledger.row("all but scrapes", pages.values.map { |page| requests_on(page) })
      scrapes = @application.access_log.select { |line| line[:agent] == "Prometheus" }
      by = scrapes.map { |line| line[:worker] }.uniq
      puts "  Prometheus' #{scrapes.size} scrapes were answered by #{by.size} of the #{pages.size} workers."
    end

    def requests_on(page)
      page.each_line.grep(/^http_requests_total\{/)
          .reject { |line| line.include?('controller=""') && line.include?('status="2xx"') }
          .sum { |line| Integer(line.split.last) }
    end

    def promtool
      said, status = Open3.capture2e("promtool", "check", "metrics", stdin_data: @application.scrape.body)
      fine = status.success? && said.empty?
      @ledger.claim("promtool check metrics: #{fine ? "silent" : said}", fine)
    end
  end
end
