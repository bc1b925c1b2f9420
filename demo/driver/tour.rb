# frozen_string_literal: true

require_relative "outline"
require_relative "spans"

module Demo
  # What there is to see of an application's metrics and traces, each as a person would ask for it.
  class Tour
    FINDINGS = 6
    FORMATS = %w[prometheus openmetrics json csv].freeze

    QUESTIONS = {
      "requests answered per second, at the busiest" => "max_over_time(sum(rate(http_requests_total[10s]))[10m:1s])",
      "seconds in which 95 % of the packages were verified" => <<~PROMQL.split.join(" "),
        histogram_quantile(0.95, sum by (le) (audit_step_duration_seconds_bucket{step="verify"}))
      PROMQL
      "processes of the application, alive" => "count(count by (process) (process_resident_memory_bytes))"
    }.freeze

    NEXT = <<~TEXT
      docs/QUICK_START.md  the same for an application of yours
      docs/METRICS.md      instruments, labels, options, and what is counted by itself
      demo/app             what this application adds to a generated one, its metrics included
      KEEP=1 bin/demo      keeps the application, to look around in it
    TEXT

    def self.next_steps
      Terminal.heading("Where to look next")
      puts NEXT.gsub(/^/, "  ")
    end

    # The spans of a process leave it every five seconds.
    PATIENCE = 60

    def initialize(application, prometheus, collector)
      @application = application
      @prometheus = prometheus
      @collector = collector
    end

    def call
      Terminal.heading("What the audit found")
      @application.database.findings(FINDINGS).each { |package, *found| puts "  #{package}: #{found.join(", ")}" }
      FORMATS.each do |format|
        Terminal.heading("rake tasker_telemetry:export_now[#{format}]")
        Terminal.excerpt(@application.export(format), 8)
      end
      Terminal.heading("rake tasker_telemetry:status")
      Terminal.excerpt(@application.status, 60)
      Terminal.heading("Prometheus, asked through its API")
      QUESTIONS.each do |meaning, expression|
        puts "  #{expression}", "  = #{@prometheus.total(expression).round(3)} #{meaning}"
      end
      Terminal.heading("One audit, as a trace")
      trace
    end

    private

    # One that has as much to tell as any, as soon as the collector has all of it.
    def trace
      audit = @application.database.audits.max_by { |one| [one.retries, one.failed? ? 1 : 0, one.package] }
      task, origin = Wait.until("the trace of #{audit.package}", PATIENCE) { Spans.new(@collector.spans).story(audit) }
      outline = Outline.new("job" => [@application.job_process], "web" => @application.web_processes)
      puts "  #{audit.package}, trace #{task.root.trace_id}", *outline.lines(task)
      puts "  which is linked to the job, in the trace of the request that asked for it", *outline.lines(origin)
    end
  end
end
