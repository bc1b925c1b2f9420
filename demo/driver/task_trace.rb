# frozen_string_literal: true

require "delegate"

module Demo
  # The trace of one audit: the audit is the task, at the root.
  class TaskTrace < SimpleDelegator
    TASK = "task package_audit"
    STEP = /\Astep (\w+)\z/
    ASKED = "task.initialize_requested"
    RETRIED = "step.retry_requested"

    # @param traces [Hash{String=>Otlp::Trace}] of which some are of tasks
    # @return [Array<TaskTrace>]
    def self.among(traces)
      traces.each_value.select { |trace| trace.spans.any? { |span| span.attributes.key?("task_id") } }
            .map { |trace| new(trace) }
    end

    # @return [Array<String>] one, if all is well
    def packages
      spans.map { |span| span.attributes["task_id"] }.uniq
    end

    def root
      roots.first
    end

    # Whether the spans are one tree with the task at its root, and nothing else is in it.
    def whole?
      tree? && root.name == TASK && spans.size == 1 + steps.size + told.size
    end

    def steps
      spans.select { |span| span.name.match?(STEP) }
    end

    # @return [Array<Otlp::Span>] what was told beside beginnings and ends
    def told
      spans.select { |span| [ASKED, RETRIED].include?(span.name) }
    end

    # @return [Hash{String=>Integer}] how many attempts there were at each step
    def attempts
      steps.map { |span| span.name[STEP, 1] }.tally
    end

    # Whether it holds what happened in that audit: each attempt at a step, and between two of them that it was to be
    # tried again.
    def tells?(audit)
      attempts == audit.attempts && told.map(&:name).tally.values_at(ASKED, RETRIED) == [1, audit.retries.nonzero?]
    end

    # @return [Float] the seconds that some steps took together
    def seconds(*names)
      steps.select { |span| names.include?(span.name[STEP, 1]) }.sum(&:duration)
    end

    # Whether a step failed, was asked for again, and was run then, one after the other.
    def retried?
      again = spans.find { |span| span.name == RETRIED } or return false
      first, second = steps.select { |span| span.attributes["step_id"] == again.attributes["step_id"] }
                           .sort_by(&:start_ns)
      return false unless second && first.status == :error

      again.start_ns.between?(first.end_ns, second.start_ns)
    end

    # Whether the root lasts from before the first step until after the last.
    def covers_steps?
      steps.all? { |step| root.start_ns <= step.start_ns && step.end_ns <= root.end_ns }
    end

    # Whether one process asked for the task and another one did it.
    def across?(web, job)
      asked, done = spans.partition { |span| span.name == ASKED }
      asked.any? && asked.all? { |span| web.include?(TaskTrace.process(span)) } &&
        done.all? { |span| TaskTrace.process(span) == job }
    end

    # @param traces [Hash{String=>Otlp::Trace}]
    # @return [Array<Otlp::Trace, Otlp::Span>, nil] the trace of the request that asked for the task, and in it the job
    #   that ended it
    def origin(traces)
      link = roots.flat_map(&:links).first or return
      trace = traces[link.trace_id] or return
      job = trace.spans.find { |span| span.span_id == link.span_id }
      [trace, job] if job && trace.roots.any?
    end

    def self.process(span)
      span.resource["process.pid"]
    end
  end
end
