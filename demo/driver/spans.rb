# frozen_string_literal: true

require_relative "task_trace"

module Demo
  # What the collector got, each span once.
  class Spans
    SCRAPED = "/metrics"
    JOB = "AuditJob"

    attr_reader :all, :traces, :tasks

    # @param all [Array<Otlp::Span>]
    def initialize(all)
      @all = all
      @traces = Otlp::Trace.of(all)
      @tasks = TaskTrace.among(@traces)
    end

    # Requests but for scrapes, of which the load generator knows nothing.
    def requests
      of(:server).reject { |span| scrape?(span) }
    end

    def scrapes
      of(:server).select { |span| scrape?(span) }
    end

    # @return [Hash{String=>Integer}] number of requests by class of status
    def classes
      requests.map { |span| "#{span.attributes["http.response.status_code"] / 100}xx" }.tally
    end

    def jobs_asked_for
      of(:producer).select { |span| span.name == "#{JOB} publish" }
    end

    def jobs
      of(:consumer).select { |span| span.name == "#{JOB} process" }
    end

    # Jobs below the request that asked for them, in one tree.
    def jobs_of_requests
      jobs.select do |job|
        trace = @traces[job.trace_id]
        trace.tree? && trace.roots.first.kind == :server && trace.spans.size == 3
      end
    end

    # Spans that have ended, not before they began, and of which the beginning is known.
    def ended
      @all.select do |span|
        span.start_ns.to_i.positive? && span.start_ns <= span.end_ns.to_i &&
          !span.attributes.key?("tasker_telemetry.start_unknown")
      end
    end

    # @return [Hash{Integer=>Integer}] number of requests, scrapes too, by the process that answered
    def answered_by
      of(:server).map { |span| TaskTrace.process(span) }.tally
    end

    # The task of a package, its request and its job, once all of it is there.
    #
    # @param audit [Audit]
    # @return [Array<TaskTrace, Otlp::Trace>, nil]
    def story(audit)
      task = @tasks.find { |one| one.packages == [audit.package] && one.whole? && one.tells?(audit) } or return
      origin, = task.origin(@traces)
      [task, origin] if origin&.tree?
    end

    private

    def of(kind)
      @all.select { |span| span.kind == kind }
    end

    def scrape?(span)
      span.attributes["url.path"] == SCRAPED
    end
  end
end
