# frozen_string_literal: true

require "timeout"

RSpec.describe "Events and spans on the native side" do
  events = TaskerTelemetry.events

  around do |example|
    GC.stress = false
    # What cannot be sent would be tried again for a minute.
    outcome = nil
    TaskerTelemetry.reset!
    FaultyCollector.open do |collector|
      @collector = collector
      configure do |config|
        config.traces.enabled = true
        config.traces.endpoint = collector.endpoint
        config.traces.queue_size = 100_000
      end
      events.map("bridge.event", backends: %i[metrics traces], labels: %i[status])
      outcome = example.run
      TaskerTelemetry.flush(timeout: 20)
    end
    outcome
  ensure
    events.reset!
  end

  def total(name)
    TaskerTelemetry.snapshot.to_h.fetch(name, {}).values.sum { |value| value.is_a?(Hash) ? value[:count] : value }
  end

  describe "under a garbage collector that runs at every chance", :gc_stress do
    times = ENV["GC_STRESS"] == "1" ? 1 : 100

    # What is around an example is no part of it.
    def stressed
      GC.stress = ENV["GC_STRESS"] == "1"
      yield
    ensure
      GC.stress = false
    end

    it "read whatever a payload holds" do
      odd = Class.new { def to_s = "odd #{"x" * 100}" }
      stressed { times.times { |number| publish(odd, number) } }
      expect(total("bridge_event_total")).to eq(2 * times)
      expect(total("task_failed_total")).to eq(times)
    end

    define_method(:publish) do |odd, number|
      payload = { :status => "s#{number % 2}", :list => ["a#{number}", [number, { b: "c#{number}" }]],
                  "text" => "é" * 50, :object => odd.new, :time => Time.now,
                  :utf16 => "caf\u{e9}".encode("UTF-16LE"), :big => 2**70,
                  odd.new => 1 }
      TaskerTelemetry.instrument("bridge.event", payload) { "work#{number}" }
      TaskerTelemetry.instrument("task.failed", task_id: "t#{number}",
                                                exception_object: IOError.new("gone #{number}"))
      TaskerTelemetry::MetricsBackend.instance.handle_event("bridge.event", "status" => "s#{number % 2}")
    end

    it "keep spans, their attributes and errors" do
      traces = stressed { Array.new(times) { |number| trace(number) } }
      expect(traces.map(&:trace_id).uniq.size).to eq(times)
    end

    def trace(number)
      TaskerTelemetry.span("outer #{number}", "key #{number}" => "value #{number}") do |span|
        span["list"] = ["a#{number}", { b: [number] }]
        span.add_event("event #{number}", "at" => Time.now)
        begin
          TaskerTelemetry.span("inner") { raise IOError, "gone #{number}" }
        rescue IOError
          nil
        end
        headers = TaskerTelemetry.trace_headers
        expect(headers["traceparent"]).to include(span.trace_id, span.span_id)
        TaskerTelemetry.continue_trace(headers, "there") { TaskerTelemetry.current_trace }
      end
    end

    it "describe what is mapped" do
      mappings, mapping, trace = stressed do
        [events.mappings, events.mapping_for("bridge.event"), TaskerTelemetry::Native.trace_stats]
      end
      expect(mappings.map { |each| each[:pattern] }).to eq(["bridge.event"])
      expect(mapping).to include(backends: %w[metrics traces])
      expect(trace).to include(queue_size: 100_000)
    end
  end

  it "find the end of an event whose payload was moved in between" do
    skip "not on this platform" unless GC.respond_to?(:compact)

    fibers = Array.new(10) do |number|
      Fiber.new do
        TaskerTelemetry.instrument("bridge.event", status: "f#{number}") do
          TaskerTelemetry.span("inside") do |span|
            Fiber.yield
            span["after"] = "moved"
          end
        end
      end
    end
    fibers.each(&:resume)
    Array.new(10_000) { +"garbage" }
    GC.verify_compaction_references(double_heap: true, toward: :empty)
    fibers.each(&:resume)
    expect(total("bridge_event_total")).to eq(10)
    expect(TaskerTelemetry.flush(timeout: 20)).to be(true)
    traces = Otlp::Trace.of(@collector.spans)
    expect(traces.values.map(&:outline)).to eq(["bridge.event\n  inside\n"] * 10)
    inside = @collector.spans.select { |span| span.name == "inside" }
    expect(inside.map { |span| span.attributes["after"] }).to all eq("moved")
  end

  # As ActiveSupport's handles do it, and who calls Instrumenter#start and #finish.
  it "find the end of an event whose payload nothing but an object holds" do
    skip "not on this platform" unless GC.respond_to?(:compact)

    handle = Class.new do
      def start(number)
        @payload = { status: "h#{number}" }
        TaskerTelemetry::Native::SUBSCRIBER.start("bridge.event", "id", @payload)
        self
      end

      def finish = TaskerTelemetry::Native::SUBSCRIBER.finish("bridge.event", "id", @payload)
    end
    threads = Array.new(3) do
      Thread.new do
        handles = Array.new(100) { |number| handle.new.start(number) }
        Thread.stop
        handles.reverse_each(&:finish)
        TaskerTelemetry.current_trace
      end
    end
    eventually { threads.all?(&:stop?) }
    Array.new(10_000) { +"garbage" }
    GC.verify_compaction_references(double_heap: true, toward: :empty)
    expect(threads.each(&:run).map(&:value)).to all be_nil
    expect(total("bridge_event_total")).to eq(300)
    expect(TaskerTelemetry.flush(timeout: 20)).to be(true)
    expect(@collector.spans.size).to eq(300)
  end

  it "keep no payload once they ended, or their thread did" do
    maps = Thread.new do
      Array.new(100) do |number|
        payload = { status: "k" }
        TaskerTelemetry::Native::SUBSCRIBER.start("bridge.event", "id", payload)
        TaskerTelemetry::Native::SUBSCRIBER.finish("bridge.event", "id", payload) if number.odd?
        ObjectSpace::WeakMap.new.tap { |map| map[payload] = payload }
      end
    end.value
    eventually { GC.start || maps.count { |map| map.size.zero? } > 90 }
  end

  it "are freed with their objects, whether they ended or not" do
    spans = 1_000.times.map { TaskerTelemetry.span("kept") { |span| span } }
    expect(spans.map(&:recording?)).to all be(false)
    spans.clear
    TaskerTelemetry.span("around") do |around|
      1_000.times { TaskerTelemetry::Native.start_span("never ended", { a: 1 }, :internal) }
      GC.start
      # What is left open in a fiber ends with what is around it.
      around.finish
      expect(TaskerTelemetry.current_trace).to be_nil
    end
    TaskerTelemetry.span("after") { |span| expect(TaskerTelemetry.current_trace.span_id).to eq(span.span_id) }
  end

  describe "however a block is left" do
    leave = {
      "raises" => -> { raise IOError },
      "raises what is no StandardError" => -> { raise NotImplementedError },
      "throws" => -> { throw :out },
      "is killed" => -> { Thread.current.kill },
      "exits its thread" => -> { Thread.exit }
    }
    around_a_block = {
      "a span" => ->(block) { TaskerTelemetry.span("left", &block) },
      "an event" => ->(block) { TaskerTelemetry.instrument("bridge.event", { status: "left" }, &block) },
      "a span in an event" =>
        ->(block) { TaskerTelemetry.instrument("bridge.event", {}) { TaskerTelemetry.span("left", &block) } }
    }
    leave.to_a.product(around_a_block.to_a).each do |(how, leaving), (what, entering)|
      it "leaves nothing of #{what} behind where it #{how}" do
        after = nil
        thread = Thread.new do
          catch(:out) { entering.call(->(*) { leaving.call }) }
        rescue IOError, NotImplementedError
          nil
        ensure
          after = [TaskerTelemetry.current_trace, TaskerTelemetry.trace_headers]
        end
        thread.join(10)
        expect(after).to eq([nil, {}])
        expect(TaskerTelemetry.flush(timeout: 20)).to be(true)
        expect(@collector.spans.size).to eq(what.include?(" in ") ? 2 : 1)
        expect(total("bridge_event_total")).to eq(what == "a span" ? 0 : 1)
      end
    end
  end

  it "are waited for, for whatever time" do
    { Float::INFINITY => true, 1e19 => true, 2**70 => true, Rational(10) => true,
      0 => false, -1 => false, Float::NAN => false, -Float::INFINITY => false }.each do |timeout, sent|
      TaskerTelemetry.span("waited for") { nil }
      # Without any time it may have been sent all the same.
      expect(TaskerTelemetry.flush(timeout: timeout)).to(sent ? be(true) : be(true).or(be(false)))
    end
    outcome = run_ruby(<<~RUBY, env: { "OTEL_EXPORTER_OTLP_ENDPOINT" => @collector.endpoint })
      #{Traced::PREAMBLE}
      TaskerTelemetry.span("last") { nil }
      p TaskerTelemetry.shutdown(timeout: Float::INFINITY)
    RUBY
    expect(outcome.out).to eq("true\n"), outcome.to_s
    expect(@collector.spans.map(&:name)).to include("last")
  end

  it "let go of fibers and threads that never end" do
    10_000.times do |number|
      Fiber.new do
        TaskerTelemetry.instrument("bridge.event", status: number % 2) { TaskerTelemetry.span("open") { Fiber.yield } }
      end.resume
      GC.start if (number % 2_000).zero?
    end
    resident = -> { File.read("/proc/self/statm").split[1].to_i * 4096 }
    GC.start
    before = resident.call
    20_000.times do |number|
      Fiber.new { TaskerTelemetry.span("open") { Fiber.yield } }.resume
      GC.start if (number % 2_000).zero?
    end
    GC.start
    expect(resident.call - before).to be < 64 << 20
    expect(TaskerTelemetry.current_trace).to be_nil
    TaskerTelemetry.span("still") { |span| expect(TaskerTelemetry.current_trace.span_id).to eq(span.span_id) }
    expect(TaskerTelemetry.instrument("bridge.event", status: "still") { 7 }).to eq(7)
    expect(TaskerTelemetry.snapshot.to_h["bridge_event_total"][{ status: "still" }]).to eq(1)
  end

  it "go deeper than anybody nests" do
    deep = ->(depth) { depth.zero? ? :bottom : TaskerTelemetry.span("s") { deep.call(depth - 1) } }
    expect(deep.call(2_000)).to eq(:bottom)
    # Not through ActiveSupport, which takes more of the stack.
    bus = TaskerTelemetry::Notifications::Bus.new
    bus.subscribe("bridge.event", TaskerTelemetry::Native::SUBSCRIBER)
    nested = lambda do |depth|
      depth.zero? ? :bottom : bus.instrument("bridge.event", { status: "n" }) { nested.call(depth - 1) }
    end
    expect(nested.call(400)).to eq(:bottom)
    expect(total("bridge_event_total")).to eq(400)
    # Of more the outermost are let go, and nothing of them stays.
    expect(nested.call(1_500)).to eq(:bottom)
    expect(total("bridge_event_total")).to be >= 400 + 512
    expect(TaskerTelemetry.current_trace).to be_nil
  end

  it "may be published and traced in a trap handler, in ensure and at exit" do
    outcome = run_ruby(<<~RUBY, env: { "OTEL_EXPORTER_OTLP_ENDPOINT" => @collector.endpoint })
      #{Traced::PREAMBLE}
      TaskerTelemetry.events.map("bridge.event", backends: %i[metrics traces])
      record = ->(where) { TaskerTelemetry.instrument("bridge.event", where: where) { TaskerTelemetry.span(where) { nil } } }
      trap("USR1") { record.call("trap") }
      Process.kill(:USR1, Process.pid)
      sleep 0.01 until TaskerTelemetry.snapshot.to_h["bridge_event_total"]
      begin
        raise IOError, "passing"
      rescue IOError
        begin
          raise "again"
        ensure
          record.call("ensure")
        end
      end rescue record.call("rescue")
      at_exit { record.call("exit") }
    RUBY
    expect(outcome).to be_success, outcome.to_s
    expect(@collector.spans.map(&:name)).to contain_exactly(*["bridge.event"] * 4, "trap", "ensure", "rescue", "exit")
  end

  describe "make no more objects than they have to" do
    # Does nothing at both ends of an event, as the contract's yardstick.
    empty = Class.new do
      def start(_name, _id, _payload) = nil
      def finish(_name, _id, _payload) = nil
    end

    {
      "without a payload" => {},
      "with two labels" => { status: "paid", plan: :pro }.freeze,
      "of a task" => { task_id: 7, task_name: "audit", duration: 1.5 }.freeze
    }.each do |what, payload|
      it "for an event #{what}" do
        require "active_support"
        bus = ActiveSupport::Notifications
        bus.subscribe("bridge.empty", empty.new)
        events.map("bridge.counted", backends: %i[metrics traces], labels: %i[status plan])
        # ActiveSupport writes an exception into it.
        given = payload.dup
        yardstick = objects(-> { bus.instrument("bridge.empty", given) { nil } })
        expect(objects(-> { bus.instrument("bridge.counted", given) { nil } })).to be <= yardstick + 2
      ensure
        bus&.unsubscribe("bridge.empty")
      end
    end

    it "for a span" do
      attributes = { "amount" => 12, "ok" => true }.freeze
      block = ->(_span) {}
      # The Span itself; the block that is handed on.
      expect(objects(-> { TaskerTelemetry.span("charge", attributes, &block) })).to be <= 2
      expect(objects(-> { TaskerTelemetry.span("charge", attributes) { |span| span["a"] = 1 } })).to be <= 3
      configure { |config| config.traces.enabled = false }
      expect(objects(-> { TaskerTelemetry.span("charge", attributes, &block) })).to be <= 2
    end

    it "for an event that nobody routes" do
      bus = TaskerTelemetry::Notifications.bus
      payload = {}
      yardstick = objects(-> { bus.instrument("bridge.nobody", payload) { nil } })
      expect(objects(-> { TaskerTelemetry.instrument("bridge.nobody", payload) { nil } })).to be <= yardstick + 1
    end
  end
end
