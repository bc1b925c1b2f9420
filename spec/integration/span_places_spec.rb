# frozen_string_literal: true

require "stringio"

RSpec.describe "What goes on inside an event", :collector do
  before do
    TaskerTelemetry.reset!
    trace_to(@collector)
  end

  let(:ids) { { task_id: 1, step_id: 2 } }

  def publish(name, **payload, &)
    TaskerTelemetry.instrument(name, payload, &)
  end

  def work(name = "work")
    TaskerTelemetry.span(name) { nil }
  end

  # The one trace of so many spans, of which none lacks its parent.
  def tree(count)
    traces = Otlp::Trace.of(sent(count)).values
    expect(traces.size).to eq(1)
    expect(traces.first.orphans.map(&:name)).to be_empty
    traces.first
  end

  it "that begins a step or a task is inside of that" do
    publish("task.start_requested", task_id: 1) { work("queue") }
    publish("step.execution_requested", **ids, attempt_number: 1) { work }
    publish("step.failed", **ids, attempt_number: 1)
    publish("step.execution_requested", **ids, attempt_number: 2.0) { work("again") }
    publish("step.completed", **ids, attempt_number: "2")
    publish("task.completed", task_id: 1)
    trace = tree(6)
    expect(trace).to be_tree
    expect(trace.outline).to eq("task\n  queue\n  step\n    work\n  step\n    again\n")
  end

  it "that begins a step is inside of the one that another process ends" do
    run_traced(<<~RUBY)
      TaskerTelemetry.instrument("step.execution_requested", task_id: 1, step_name: "pay") do
        TaskerTelemetry.span("work") { nil }
      end
    RUBY
    run_traced(<<~RUBY)
      TaskerTelemetry.instrument("step.completed", task_id: 1, step_name: "pay")
      TaskerTelemetry.instrument("task.completed", task_id: 1, duration: 9)
    RUBY
    trace = Otlp::Trace.of(received(3)).values.first
    expect(trace).to be_tree
    expect(trace.outline).to eq("task\n  step pay\n    work\n")
  end

  it "that begins what has no place of its own is inside of the task" do
    publish("workflow.task_started", task_id: 1) { work }
    publish("step.execution_requested", task_id: 1) { work("of some step") }
    publish("task.completed", task_id: 1, duration: 9)
    expect(tree(3).outline).to eq("task\n  work\n  of some step\n")
  end

  it "is inside of the first to tell of it" do
    3.times { |number| publish("step.handle", **ids, attempt_number: 1) { work("work #{number}") } }
    publish("step.handle", **ids, attempt_number: 2) { work }
    publish("task.completed", task_id: 1, duration: 9)
    expect(tree(7).outline)
      .to eq("task\n  step.handle\n    work 0\n    work 1\n    work 2\n  step.handle\n    work\n")
  end

  it "is inside of the task when nothing says which of several that look alike it is" do
    2.times { |number| publish("step.handle", **ids) { work("work #{number}") } }
    publish("step.failed", **ids, duration: 1)
    publish("step.handle", **ids) { work }
    publish("task.completed", task_id: 1, duration: 9)
    trace = tree(7)
    task = trace.roots.first
    expect(trace.children(task).map(&:name)).to contain_exactly("step.handle", "work 1", "step", "step.handle")
    handled = trace.children(task).select { |span| span.name == "step.handle" }
    expect(handled.map(&:span_id).uniq.size).to eq(2)
    expect(handled.flat_map { |span| trace.children(span).map(&:name) }).to contain_exactly("work 0", "work")
  end

  it "that is left out is inside of what is around that" do
    TaskerTelemetry.events.map("order.placed", backends: :traces, sample: 0.0)
    TaskerTelemetry.events.map("step.handle", backends: :traces, sample: 0.0)
    TaskerTelemetry.span("request") { publish("order.placed") { work } }
    publish("step.handle", **ids) { work("of the task") }
    publish("task.completed", task_id: 1, duration: 9)
    outlines = Otlp::Trace.of(sent(4)).values.map(&:outline)
    expect(outlines).to contain_exactly("request\n  work\n", "task\n  of the task\n")
  ensure
    TaskerTelemetry.events.reset!
  end

  it "leaves nothing current behind" do
    publish("step.execution_requested", **ids) do
      publish("step.execution_requested", **ids) { work }
      expect(TaskerTelemetry.current_trace).not_to be_nil
    end
    expect(TaskerTelemetry.current_trace).to be_nil
    publish("step.completed", **ids)
    sent(2)
  end

  it "is referred to by exemplars and by the log as the span that will be sent" do
    lines = StringIO.new
    trace_to(@collector) do |config|
      config.logger = Logger.new(lines)
      config.logs.enabled = true
    end
    TaskerTelemetry.events.map("step.execution_requested", backends: %i[metrics traces logs])
    publish("step.execution_requested", **ids, step_name: "pay")
    publish("step.completed", **ids, step_name: "pay")
    step = sent(1).first
    exemplars = parse_exemplars(TaskerTelemetry.export(:openmetrics))
    started = exemplars.find { |(name, _), _| name == "step_started_total" }
    expect(started.last.first).to eq("trace_id" => step.trace_id, "span_id" => step.span_id)
    expect(lines.string).to include(step.span_id)
  ensure
    TaskerTelemetry.events.reset!
  end
end
