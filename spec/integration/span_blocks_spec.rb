# frozen_string_literal: true

RSpec.describe "Spans around code" do
  describe "that are sent", :collector do
    before { trace_to(@collector) }

    def span(name, attributes = {}, &)
      TaskerTelemetry.span(name, attributes, &)
    end

    it "nest, whether they are spans or events" do
      TaskerTelemetry.events.map("order.placed", backends: :traces)
      result = span("a") do
        span("b") { span("c") { nil } }
        TaskerTelemetry.instrument("order.placed") { span("d") { TaskerTelemetry.instrument("order.placed") } }
        7
      end
      expect(result).to eq(7)
      expect(TaskerTelemetry.current_trace).to be_nil
      trace = Otlp::Trace.of(sent(6))
      expect(trace.size).to eq(1)
      expect(trace.values.first.outline).to eq("a\n  b\n    c\n  order.placed\n    d\n      order.placed\n")
    ensure
      TaskerTelemetry.events.reset!
    end

    it "are each fiber's and each thread's own" do
      span("outside") do |outside|
        expect(Thread.new { TaskerTelemetry.current_trace }.value).to be_nil
        expect(Fiber.new { TaskerTelemetry.current_trace }.resume).to be_nil
        fibers = Array.new(3) do |number|
          Fiber.new { span("fiber #{number}") { span("in #{number}") { Fiber.yield(TaskerTelemetry.current_trace) } } }
        end
        inside = fibers.map(&:resume)
        expect(inside.map(&:trace_id).uniq.size).to eq(3)
        expect(TaskerTelemetry.current_trace.span_id).to eq(outside.span_id)
        fibers.each(&:resume)
        expect(TaskerTelemetry.current_trace.span_id).to eq(outside.span_id)
        # An Enumerator's block runs in a fiber of its own.
        pulled = Enumerator.new { |yielder| span("pulled") { yielder << TaskerTelemetry.current_trace.trace_id } }
        expect(pulled.next).not_to eq(outside.trace_id)
      end
      Array.new(4) { |number| Thread.new { span("thread #{number}") { Thread.pass } } }.each(&:join)
      traces = Otlp::Trace.of(sent(1 + (3 * 2) + 4))
      expect(traces.values.map(&:outline)).to contain_exactly(
        "outside\n", *Array.new(3) { |number| "fiber #{number}\n  in #{number}\n" },
        *Array.new(4) { |number| "thread #{number}\n" }
      )
    end

    it "go on in another thread where they are carried to it" do
      span("here") do
        headers = TaskerTelemetry.trace_headers
        Thread.new { TaskerTelemetry.continue_trace(headers, "there", "x" => 1) { |other| other["y"] = 2 } }.join
      end
      there, here = sent(2).sort_by { |one| one.root? ? 1 : 0 }
      expect([there.name, there.parent_id, there.trace_id]).to eq(["there", here.span_id, here.trace_id])
      expect(there.attributes).to eq("x" => 1, "y" => 2)
    end

    it "fail with what their block raises, and let it go on" do
      error = stub_const("Shop::Broken", Class.new(StandardError))
      deep = ->(depth) { depth.zero? ? raise(error, "order 7: token=abc123") : deep.call(depth - 1) }
      expect { span("failing") { deep.call(100) } }.to raise_error(error)
      failed = sent(1).first
      expect(failed).to have_attributes(status: :error, status_message: "order 7: token=[FILTERED]")
      event = failed.events.first
      expect(event).to have_attributes(name: "exception", time_ns: be_between(failed.start_ns, failed.end_ns))
      expect(event.attributes).to include("exception.type" => "Shop::Broken",
                                          "exception.message" => "order 7: token=[FILTERED]")
      lines = event.attributes["exception.stacktrace"].lines
      expect(lines.size).to eq(30)
      expect(lines.first).to include("#{File.basename(__FILE__)}:")
    end

    it "end however their block is left" do
      ways = {
        "returned" => -> { span("returned") { next 1 } },
        "broken off" => -> { [1].each { span("broken off") { break } } },
        "thrown" => -> { catch(:out) { span("thrown") { throw :out } } },
        "killed" => -> { Thread.new { span("killed") { Thread.current.kill } }.join },
        "timed out" => lambda {
          begin
            Timeout.timeout(0.02) { span("timed out") { sleep } }
          rescue Timeout::Error
            nil
          end
        },
        "interrupted" => lambda {
          begin
            span("interrupted") { raise Interrupt }
          rescue Interrupt
            nil
          end
        }
      }
      ways.each_value do |way|
        way.call
        expect(TaskerTelemetry.current_trace).to be_nil
      end
      statuses = sent(ways.size).to_h { |one| [one.name, one.status] }
      expect(statuses).to match("returned" => :unset, "broken off" => :unset, "thrown" => :unset, "killed" => :unset,
                                "timed out" => be_in(%i[unset error]), "interrupted" => :error)
    end

    RSpec::Matchers.define(:be_in) { |list| match { |actual| list.include?(actual) } }

    it "hold attributes of every kind, events and another name" do
      at = Time.utc(2024, 1, 2, 3, 4, 5)
      span(:typed, "text" => "é", symbol: :a, int: 7, float: 1.5, yes: true, none: nil, time: at) do |one|
        one["list"] = [1, "two"]
        one.set_attribute(:hash, { a: { b: 1 } })
        one["int"] = 8
        one.add_event("paid", { amount: 12, "card" => "visa" })
        one.add_event(:bare)
        one.add_event("keywords", amount: 1)
        one.name = "renamed"
        one.error!("refused")
      end
      one = sent(1).first
      expect(one).to have_attributes(name: "renamed", kind: :internal, status: :error, status_message: "refused")
      expect(one.attributes).to eq(
        "text" => "é", "symbol" => "a", "int" => 8, "float" => 1.5, "yes" => true,
        "time" => "2024-01-02T03:04:05.000000000Z", "list" => '[1,"two"]', "hash" => '{"a":{"b":1}}'
      )
      expect(one.events.map { |event| [event.name, event.attributes] })
        .to eq([["paid", { "amount" => 12, "card" => "visa" }], ["bare", {}], ["keywords", { "amount" => 1 }]])
      expect(one.events.map(&:time_ns)).to all be_between(one.start_ns, one.end_ns)
    end

    it "hold what is recorded by hand, and nothing once they are over" do
      kept = nil
      span("recovered") do |one|
        one.record_exception(IOError.new("gone"))
        one.record_exception("no exception")
        kept = one
      end
      kept["late"] = 1
      kept.add_event("late")
      kept.error!("late")
      kept.name = "late"
      kept.finish
      expect(kept.recording?).to be(false)
      one = sent(1).first
      expect(one).to have_attributes(name: "recovered", attributes: {}, status_message: "gone")
      expect(one.events.map { |event| event.attributes.slice("exception.type", "exception.message") })
        .to eq([{ "exception.type" => "IOError", "exception.message" => "gone" }])
    end

    it "have bounds" do
      span("large") do |one|
        1_000.times { |number| one["key #{number}"] = number }
        1_000.times { |number| one.add_event("event #{number}") }
        one["key 0"] = "x" * 1_000_000
      end
      large = sent(1).first
      expect([large.attributes.size, large.events.size]).to eq([128, 128])
      expect(large.attributes["key 0"].bytesize).to be < 5_000
    end

    it "tell of who sends them" do
      span("of a process") { nil }
      resource = sent(1).first.resource
      expect(resource).to include(
        "service.name" => TaskerTelemetry.config.service_name,
        "deployment.environment.name" => TaskerTelemetry.config.environment,
        "host.name" => Socket.gethostname, "process.pid" => Process.pid, "os.type" => "linux",
        "process.runtime.name" => "ruby", "process.runtime.version" => RUBY_VERSION,
        "telemetry.sdk.name" => "tasker_telemetry", "telemetry.sdk.version" => TaskerTelemetry::VERSION,
        "telemetry.sdk.language" => "ruby"
      )
      expect(@collector.spans.first.scope).to include(name: "tasker_telemetry", version: TaskerTelemetry::VERSION)
    end

    it "are sent by the process that began them, and not by its children" do
      span("parent") do
        pid = fork do
          span("child") { nil }
          TaskerTelemetry.flush
          exit!(0)
        end
        Process.wait(pid)
      end
      child, parent = sent(2).sort_by { |one| one.root? ? 1 : 0 }
      expect([parent.name, child.name, child.parent_id]).to eq(["parent", "child", parent.span_id])
      expect(child.resource["process.pid"]).not_to eq(parent.resource["process.pid"])
    end
  end

  it "are nothing while traces are off, and take everything" do
    configure { |config| config.traces.enabled = false }
    kept = nil
    result = TaskerTelemetry.span("off", { "a" => 1 }) do |span|
      kept = span
      span["a"] = BasicObject.new
      span.set_attribute("b", 2)
      span.add_event("event", a: 1)
      span.record_exception(IOError.new)
      span.error!
      span.name = "other"
      [span.recording?, span.traceparent, TaskerTelemetry.trace_headers, TaskerTelemetry.current_trace]
    end
    expect(result).to eq([false, nil, {}, nil])
    expect(kept).to be_a(TaskerTelemetry::Span)
    expect([kept.trace_id, kept.span_id]).to eq(["0" * 32, "0" * 16])
    expect { TaskerTelemetry.span("off") { raise IOError, "own" } }.to raise_error(IOError, "own")
    expect { TaskerTelemetry.span("off") }.to raise_error(ArgumentError, /block/)
    expect(Thread.list.map(&:name)).not_to include(/tasker/)
  end

  it "hand on what came in while traces are off" do
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    inside = TaskerTelemetry.continue_trace({ "traceparent" => parent, "tracestate" => "a=b" }, "off") do
      TaskerTelemetry.trace_headers
    end
    expect(inside).to eq("traceparent" => parent, "tracestate" => "a=b")
  end
end
