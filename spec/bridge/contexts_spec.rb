# frozen_string_literal: true

require "English"

RSpec.describe "Recording" do
  before { TaskerTelemetry.reset! }

  let(:counter) { TaskerTelemetry.counter(:bridge_contexts_total, "Contexts", labels: %i[from]) }
  let(:histogram) { TaskerTelemetry.histogram(:bridge_contexts_seconds, "Contexts", labels: %i[from]) }

  it "is exact from many threads that a timer switches between" do
    threads = Array.new(8) do |number|
      Thread.new do
        bound = counter.with(from: "all")
        20_000.times do |index|
          counter.increment(from: "all")
          bound.increment
          histogram.observe(index, from: number)
          # What leaves the fast path, where Ruby code runs and threads may be switched.
          counter.increment(from: 1.5) if (index % 100).zero?
        end
      end
    end
    threads.each(&:join)

    expect(counter.value(from: "all")).to eq(8 * 2 * 20_000)
    expect(counter.value(from: "1.5")).to eq(8 * 200)
    expect(Array.new(8) { |number| histogram.value(from: number)[:count] }).to all eq(20_000)
  end

  it "asks Ruby for no class once the extension is loaded, since threads could be switched in the middle" do
    outcome = run_ruby(<<~RUBY)
      require "tasker_telemetry"
      Object.singleton_class.prepend(Module.new { def const_get(name, *) = abort("asked for \#{name}") })
      counter = TaskerTelemetry.counter(:first_total)
      gauge = TaskerTelemetry.gauge(:first_now)
      histogram = TaskerTelemetry.histogram(:first_seconds)
      [counter, gauge, histogram].each(&:with)
      puts TaskerTelemetry::Native.page("json").next_chunk.empty?
    RUBY

    expect(outcome).to have_attributes(out: "false\n", err: "")
  end

  it "works in fibers" do
    inside = Class.new { def to_s = Fiber.yield.to_s }
    fibers = Array.new(3) { Fiber.new { counter.increment(from: inside.new) } }
    fibers.each(&:resume)
    fibers.each_with_index { |fiber, number| fiber.resume(number) }

    expect(Array.new(3) { |number| counter.value(from: number) }).to all eq(1)
  end

  it "works in trap handlers, refused samples included" do
    # A trap handler cannot take the lock of a `let`.
    counter = self.counter
    histogram = self.histogram
    # Nor can Ruby's Logger that of a device.
    configure { |config| config.logger = Logger.new(nil) }
    handled = false
    begin
      before = trap("USR1") do
        counter.increment(from: "trap")
        counter.increment(from: Class.new { def to_s = "object in trap" }.new)
        counter.with(from: "trap").increment
        histogram.observe(1, from: "trap")
        counter.increment(-1, from: "trap")
        counter.increment(wrong: 1)
        handled = true
      end
      Process.kill(:USR1, Process.pid)
      eventually { handled }
    ensure
      trap("USR1", before)
    end

    expect(counter.value(from: "trap")).to eq(2)
    expect(counter.value(from: "object in trap")).to eq(1)
    expect(histogram.value(from: "trap")[:count]).to eq(1)
    expect([dropped(:invalid_value), dropped(:wrong_labels)]).to eq([1, 1])
  end

  it "works in ensure, and leaves what is passing through alone" do
    noisy = Class.new { def to_s = raise("in ensure") }.new
    record = lambda do
      counter.increment(from: "ensure")
      counter.increment(from: noisy)
    end
    logged do
      expect do
        raise IOError, "passing"
      ensure
        record.call
        expect($ERROR_INFO).to be_an(IOError)
      end.to raise_error(IOError, "passing")
      thrown = catch(:out) do
        throw :out, 7
      ensure
        record.call
      end
      expect(thrown).to eq(7)
      thread = Thread.new do
        Thread.current.kill
      ensure
        record.call
      end
      expect(thread.value).to be_nil
    end

    expect(counter.value(from: "ensure")).to eq(3)
    expect(dropped(:invalid_value)).to eq(3)
  end

  it "works in finalizers and at_exit" do
    outcome = run_ruby(<<~RUBY)
      require "tasker_telemetry"
      TaskerTelemetry.configure { |config| config.metrics.arena = :memory }
      counter = TaskerTelemetry.counter(:ends_total, "Ends", labels: %i[how])
      at_exit { puts counter.value(how: "final"), counter.value(how: "exit") }
      at_exit { counter.increment(how: "exit") }
      finalizer = ->(_) { counter.increment(how: "final") }
      100.times { ObjectSpace.define_finalizer(Object.new, finalizer) }
      Array.new(100) { Object.new }
      GC.start
      at_exit { counter.increment(how: "exit") }
    RUBY

    expect(outcome).to be_success, outcome.to_s
    finalized, exited = outcome.out.lines.map(&:to_i)
    expect(finalized).to be_between(90, 100)
    expect(exited).to eq(2)
  end

  it "is refused by Ruby itself in a Ractor, since threads of two Ractors run at once" do
    outcome = run_ruby(<<~RUBY, options: ["-W0"])
      require "tasker_telemetry"
      counter = TaskerTelemetry.counter(:ractors_total, "Ractors")
      Ractor.make_shareable(counter) rescue puts "not shareable: \#{$!.class}"
      begin
        Ractor.new { TaskerTelemetry::Native.arena_id }.take
      rescue Ractor::RemoteError => e
        puts e.cause.class
      end
      counter.increment
      puts counter.value
    RUBY

    expect(outcome).to be_success, outcome.to_s
    expect(outcome.out.lines(chomp: true)).to end_with("Ractor::UnsafeError", "1")
  end

  it "in a child of a threaded parent counts on" do
    counter.increment(5, from: "family")
    pids = Array.new(3) do
      fork do
        Thread.new { counter.increment(2, from: "family") }.join
        counter.with(from: "family").increment(5)
        exit!(0)
      end
    end
    pids.each { |pid| Process.wait(pid) }

    expect(counter.value(from: "family")).to eq(5 + (3 * 7))
  end
end
