# frozen_string_literal: true

require "time"

RSpec.describe "Spans of tasks and steps", :collector do
  before { TaskerTelemetry.reset! }

  let(:ended) { Time.at(1_700_000_000.25r) }

  def publish(name, **payload)
    TaskerTelemetry.instrument(name, payload)
  end

  describe "of two seconds" do
    before { trace_to(@collector) }

    {
      "by its own start and end" => ->(at) { { started_at: at - 2, completed_at: at } },
      "by a start and end in words" =>
        ->(at) { { started_at: (at - 2).utc.iso8601(3), completed_at: at.getlocal("+03:30").iso8601(3) } },
      "by a start in seconds" => ->(at) { { started_at: at.to_f - 2, transitioned_at: at } },
      "by its duration" => ->(at) { { execution_duration: 2.0, transitioned_at: at } },
      "by a duration in words, under Strings" => ->(at) { { "duration" => "2.0", "completed_at" => at.iso8601(3) } },
      "by a start that is wrong and a duration" =>
        ->(at) { { started_at: at + 1, execution_duration: 2, completed_at: at } }
    }.each do |how, payload|
      it "is shown #{how}" do
        TaskerTelemetry.instrument("step.completed",
                                   payload.call(ended).merge(task_id: 1, step_id: 2, step_name: "pay"))
        span = sent(1).first
        expect(span).to have_attributes(name: "step pay", duration: be_within(1e-6).of(2), status: :ok)
        expect(span.end_ns).to eq(1_700_000_000_250_000_000)
        expect(TaskerTelemetry.snapshot.to_h["step_duration_seconds"].values)
          .to match([include(count: 1, sum: be_within(1e-6).of(2))])
      end
    end

    it "is shown by the event that began it" do
      publish("step.execution_requested", task_id: 1, step_id: 2, transitioned_at: ended - 2)
      publish("step.completed", task_id: 1, step_id: 2, transitioned_at: ended)
      expect(sent(1).first.duration).to be_within(1e-6).of(2)
    end

    it "is shown by each attempt's own start" do
      publish("step.execution_requested", task_id: 1, step_id: 2, transitioned_at: ended - 9)
      publish("step.failed", task_id: 1, step_id: 2, transitioned_at: ended - 8)
      publish("step.retry_requested", task_id: 1, step_id: 2, transitioned_at: ended - 3)
      publish("step.execution_requested", task_id: 1, step_id: 2, transitioned_at: ended - 2)
      publish("step.completed", task_id: 1, step_id: 2, transitioned_at: ended)
      spans = sent(3)
      expect(spans.map(&:name)).to eq(["step", "step.retry_requested", "step"])
      expect(spans.map(&:duration)).to match([be_within(1e-6).of(1), 0, be_within(1e-6).of(2)])
    end

    it "is shown of an event around a block" do
      clock = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
      inside = nil
      before = clock.call
      TaskerTelemetry.instrument("task.completed", task_id: 1) do
        began = clock.call
        sleep 0.05
        inside = clock.call - began
      end
      outside = clock.call - before
      expect(sent(1).first.duration).to be_between(inside - 1e-6, outside + 1e-6)
    end
  end

  it "last from one process to another, which knows nothing of the start" do
    code = <<~'RUBY'
      before = Time.now.to_r
      TaskerTelemetry.instrument(ARGV[0], task_id: 1, step_id: 2, step_name: "pay")
      puts JSON.generate([before.to_f, Time.now.to_f])
    RUBY
    started = JSON.parse(run_traced(code, "step.execution_requested").out)
    eventually { Time.now.to_f > started.last + 0.3 }
    ended = JSON.parse(run_traced(code, "step.completed").out)

    span = received(1).first
    expect(span.duration).to be_between(ended.first - started.last - 1e-4, ended.last - started.first + 1e-4)
    expect(span.duration).to be >= 0.3
    expect(span.start_ns / 1e9).to be_between(started.first - 1e-4, started.last + 1e-4)
    expect(span.attributes).not_to include("tasker_telemetry.start_unknown")
  end

  it "are one whole trace when a process is killed and another goes on" do
    task = 'ids = { task_id: "t-1", task_name: "audit" }'
    first = start_traced(<<~RUBY)
      #{task}
      TaskerTelemetry.instrument("task.start_requested", ids)
      TaskerTelemetry.instrument("step.execution_requested", ids.merge(step_id: 1, step_name: "one"))
      TaskerTelemetry.instrument("step.completed", ids.merge(step_id: 1, step_name: "one"))
      TaskerTelemetry.instrument("step.execution_requested", ids.merge(step_id: 2, attempt_number: 1))
      TaskerTelemetry.flush
      TaskerTelemetry.span("unfinished") { puts(Time.now.to_f); $stdin.read }
    RUBY
    middle = Float(first.gets)
    Process.kill(:KILL, first.pid)
    first.close
    after = Float(run_traced(<<~RUBY).out)
      #{task}
      TaskerTelemetry.instrument("step.execution_requested", ids.merge(step_id: 2, attempt_number: 2))
      TaskerTelemetry.instrument("step.completed", ids.merge(step_id: 2, step_name: "two", attempt_number: 2))
      TaskerTelemetry.instrument("step.execution_requested", ids.merge(step_id: 3))
      TaskerTelemetry.instrument("step.completed", ids.merge(step_id: 3, step_name: "three"))
      TaskerTelemetry.instrument("task.completed", ids.slice(:task_id))
      puts Time.now.to_f
    RUBY

    spans = received(4)
    trace = Otlp::Trace.of(spans)
    expect(trace.size).to eq(1)
    expect(trace.values.first).to be_tree
    expect(trace.values.first.outline).to eq("task\n  step one\n  step two\n  step three\n")
      .or eq("task audit\n  step one\n  step two\n  step three\n")
    root = trace.values.first.roots.first
    expect([root.start_ns / 1e9 <= middle, root.end_ns / 1e9 <= after]).to all be(true)
    expect(spans.map { |span| span.attributes["tasker_telemetry.start_unknown"] }).to all be_nil
    expect(spans.map { |span| span.resource["process.pid"] }.uniq.size).to eq(2)
  end

  describe "that end more than once" do
    before { trace_to(@collector) }

    it "are roots of their own, linked to the first" do
      publish("task.start_requested", task_id: 1, task_name: "audit")
      %w[task.failed task.failed task.retry_requested task.failed task.retry_requested task.completed].each do |name|
        publish(name, task_id: 1, task_name: "audit", duration: 1)
      end
      spans = sent(5)
      expect(spans.map(&:trace_id).uniq.size).to eq(1)
      ends = spans.select { |span| span.name == "task audit" }
      expect(ends.map(&:status)).to eq(%i[error error ok])
      expect(ends).to all be_root
      first, *further = ends
      expect(first.links).to be_empty
      further.each do |span|
        expect(span.links.map { |link| [link.trace_id, link.span_id] }).to eq([[first.trace_id, first.span_id]])
      end
      retries = spans - ends
      expect(retries.map { |span| [span.name, span.parent_id] }).to eq([["task.retry_requested", first.span_id]] * 2)
    end

    it "have a first one that is known before it is there, whoever tells of it" do
      publish("task.retry_requested", task_id: 7)
      outcome = run_traced('TaskerTelemetry.instrument("task.completed", task_id: "7", duration: 1)',
                           env: { "OTEL_SERVICE_NAME" => TaskerTelemetry.config.service_name, "RACK_ENV" => "test" })
      expect(outcome.err).to be_empty
      child, root = sent(2).sort_by { |span| span.root? ? 1 : 0 }
      expect([child.trace_id, child.parent_id]).to eq([root.trace_id, root.span_id])
    end
  end

  describe "with attempts" do
    before { trace_to(@collector) }

    [
      ["that are numbered", [{ attempt_number: 1 }, { attempt_number: 2 }, { attempt_number: 3 }]],
      ["that nobody numbers", [{}, {}, {}]],
      ["of which some are numbered", [{}, { attempt_number: 2 }, {}]]
    ].each do |what, attempts|
      it "#{what} has a span for each" do
        attempts.each_with_index do |attempt, index|
          name = index == 2 ? "step.completed" : "step.failed"
          3.times { publish(name, task_id: 1, step_id: 2, duration: 1, **attempt) }
          publish("step.retry_requested", task_id: 1, step_id: 2, **attempt) unless index == 2
        end
        spans = sent(5)
        steps = spans.select { |span| span.name == "step" }
        expect(steps.map(&:status)).to eq(%i[error error ok])
        expect(spans.map(&:parent_id).uniq.size).to eq(1)
        expect(spans.map(&:trace_id).uniq.size).to eq(1)
      end
    end
  end

  describe "of which nobody told the start" do
    before { trace_to(@collector) }

    it "wait for a duplicate that does" do
      publish("step.completed", task_id: 1, step_id: 2)
      expect(TaskerTelemetry.status.dig(:traces, :pending)).to eq(1)
      publish("step.completed", task_id: 1, step_id: 2, note: "poor")
      publish("step.completed", task_id: 1, step_id: 2, execution_duration: 2, step_name: "pay", note: "rich")
      expect(TaskerTelemetry.status.dig(:traces, :pending)).to eq(0)
      span = sent(1).first
      expect(span.duration).to be_within(1e-6).of(2)
      expect(span.attributes).to include("note" => "rich")
      expect(span.attributes).not_to include("tasker_telemetry.start_unknown")
      expect(TaskerTelemetry.snapshot.to_h["step_duration_seconds"].values.sum { |value| value[:count] }).to eq(1)
    end

    it "wait for a second, and are marked" do
      unknown = -> { TaskerTelemetry.status.dig(:traces, :start_unknown) }
      before = unknown.call
      publish("step.completed", task_id: 1, step_id: 2)
      eventually(within: 5) { TaskerTelemetry.status.dig(:traces, :pending).zero? }
      expect(sent(1).first).to have_attributes(duration: 0,
                                               attributes: include("tasker_telemetry.start_unknown" => true))
      expect(unknown.call - before).to eq(1)
    end

    it "do not wait when the process ends" do
      run_traced('TaskerTelemetry.instrument("step.completed", task_id: 1, step_id: 2)')
      expect(received(1).first.attributes).to include("tasker_telemetry.start_unknown" => true)
    end
  end

  describe "in detail" do
    before { trace_to(@collector) }

    it "are one for a transition that is published three times" do
      3.times { publish("task.completed", task_id: 1, transitioned_at: ended, duration: 1) }
      3.times { publish("task.retry_requested", task_id: 1) }
      expect(sent(2).map(&:name)).to contain_exactly("task", "task.retry_requested")
    end

    it "tell of the error" do
      publish("step.failed", task_id: 1, step_id: 2, duration: 1, error_class: "Net::ReadTimeout",
                             error_message: "slow", backtrace: ["a.rb:1"])
      publish("task.failed", task_id: 1, duration: 1, exception_object: IOError.new("gone"))
      step, task = sent(2).sort_by(&:name)
      expect(step).to have_attributes(status: :error, status_message: "slow")
      expect(step.events.first).to have_attributes(
        name: "exception", attributes: include("exception.type" => "Net::ReadTimeout", "exception.message" => "slow")
      )
      expect(task).to have_attributes(status: :error, status_message: "gone")
      expect(task.events.map { |event| event.attributes["exception.type"] }).to eq(["IOError"])
    end

    it "are linked to the trace in which they ended, and do not join it" do
      request = nil
      TaskerTelemetry.span("request") do |span|
        request = span
        publish("task.completed", task_id: 1, duration: 1)
        publish("order.shipped", order: 1)
      end
      TaskerTelemetry.events.register("order.shipped")
      TaskerTelemetry.span("request") { |span| (request = span) && publish("order.shipped", order: 1) }
      spans = sent(4)
      task = spans.find { |span| span.name == "task" }
      first = spans.find { |span| span.name == "request" }
      expect([task.root?, task.trace_id == first.trace_id]).to eq([true, false])
      expect(task.links.map { |link| [link.trace_id, link.span_id] }).to eq([[first.trace_id, first.span_id]])
      shipped = spans.find { |span| span.name == "order.shipped" }
      expect([shipped.trace_id, shipped.parent_id]).to eq([request.trace_id, request.span_id])
    ensure
      TaskerTelemetry.events.reset!
    end

    it "stand inside the event that goes on around them" do
      TaskerTelemetry.events.register("order.placed")
      TaskerTelemetry.instrument("order.placed") { TaskerTelemetry.span("charge") { nil } }
      inner, outer = sent(2)
      expect([inner.name, inner.parent_id, inner.trace_id]).to eq(["charge", outer.span_id, outer.trace_id])
      # Of the same task, whatever goes on around.
      TaskerTelemetry.instrument("step.handle", task_id: 1, step_id: 2) { TaskerTelemetry.span("work") { nil } }
      work, handle = sent(4).last(2)
      expect([work.name, work.parent_id, work.trace_id]).to eq(["work", handle.span_id, handle.trace_id])
    ensure
      TaskerTelemetry.events.reset!
    end
  end
end
