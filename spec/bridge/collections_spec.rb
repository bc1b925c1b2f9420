# frozen_string_literal: true

RSpec.describe "The garbage collector" do
  before { TaskerTelemetry.reset! }

  # The figures of all live processes: {label process => value}.
  def figures(name)
    TaskerTelemetry.snapshot.select { |series| series.name == name }
                   .to_h { |series| [series.labels.fetch(:process), series.value] }
  end

  # What matchers leave behind is not what is tested.
  def relax
    GC.stress = false
  end

  it "has its figures exported as GC tells them" do
    3.times { GC.start }
    GC.disable
    runs = figures("ruby_gc_runs_total").values
    seconds = figures("ruby_gc_duration_seconds_total").values

    expect(runs).to include(GC.count)
    # GC tells milliseconds.
    expect(seconds).to include(be_within(0.002).of(GC.stat(:time) / 1_000.0))
  ensure
    GC.enable
  end

  it "has them exported for processes that do nothing but work" do
    reader, writer = IO.pipe
    release, hold = IO.pipe
    metric = TaskerTelemetry.counter(:bridge_collecting_total)
    metric.increment
    pid = fork do
      hold.close
      metric.increment
      20.times { GC.start(full_mark: false) }
      GC.disable
      writer.puts GC.count
      writer.close
      release.read
      exit!(0)
    end
    release.close
    writer.close
    count = Integer(reader.gets)
    exported = figures("ruby_gc_runs_total").select { |process, _| process.start_with?("#{pid}-") }.values

    expect(exported).to match([be_between(count - 1, count)])
  ensure
    hold.close
    Process.wait(pid)
  end

  it "may collect at every allocation while samples are taken", :gc_stress do
    counter = TaskerTelemetry.counter(:bridge_stressed_total, "Stressed", labels: %i[a b])
    histogram = TaskerTelemetry.histogram(:bridge_stressed_seconds, "Stressed", labels: %i[a], buckets: [1, 2])
    gauge = TaskerTelemetry.gauge(:bridge_stressed_now, "Stressed")
    noisy = Class.new { def to_s = "a".encode("UTF-16LE") * 3 }.new
    counter.increment(a: "x", b: :y)
    counter.increment(2**70, a: noisy, b: 1.5)
    counter.increment("a" => "x", "b" => "y")
    counter.with(a: noisy, b: "é".encode("ISO-8859-1")).increment(1r)
    histogram.observe(1.5, a: noisy)
    gauge.set(1e-300)
    gauge.with.decrement(2)
    relax

    expect(counter.value(a: "x", b: "y")).to eq(2)
    expect(counter.value(a: "aaa", b: "1.5")).to eq(2.0**70)
    expect(counter.value(a: "aaa", b: "é")).to eq(1)
    expect(histogram.value(a: "aaa")).to eq(count: 1, sum: 1.5, buckets: { 1.0 => 0, 2.0 => 1, Float::INFINITY => 1 })
    expect(gauge.value).to eq(-2)
  end

  it "may collect at every allocation while samples are refused and errors raised", :gc_stress do
    counter = TaskerTelemetry.counter(:bridge_stressed_total, "Stressed", labels: %i[a b])
    raising = Class.new { def to_s = raise("no") }.new
    errors = []
    configure { |config| config.strict = true }
    [-> { counter.increment(a: raising, b: 1) }, -> { counter.increment(-1, a: 1, b: 1) },
     -> { counter.increment(a: 1, c: 1) }, -> { counter.value(1, a: 1, b: 1) }].each do |call|
      call.call
    rescue TaskerTelemetry::Error, ArgumentError => e
      errors << e.message
    end
    relax

    expect(errors).to match([/to_s raises RuntimeError/, /only grows/, /missing: b; unknown: c/, /given 1, expected 0/])
  end

  it "may collect at every allocation while pages and snapshots are made", :gc_stress do
    counter = TaskerTelemetry.counter(:bridge_stressed_total, "Stressed", labels: %i[a b])
    3.times { |number| counter.increment(number + 0.5, a: number, b: "é") }
    page = TaskerTelemetry::Native.export("openmetrics")
    chunk = TaskerTelemetry::Native.page("csv").next_chunk
    rows = TaskerTelemetry::Native.snapshot
    status = TaskerTelemetry::Native.status
    relax

    expect(page).to include("bridge_stressed_total{a=\"2\",b=\"é\"} 2.5\n").and end_with("# EOF\n")
    expect(chunk).to include("bridge_stressed_total")
    expect(rows).to include(["bridge_stressed_total", :counter, "Stressed", { a: "1", b: "é" }, 1.5, false, Float])
    expect(status).to include(enabled: true, series: include("bridge_stressed_total" => 3))
  end

  it "may move everything" do
    declare = ->(number) { TaskerTelemetry.counter(:"bridge_moved_#{number}_total", labels: [:"l#{number}"]) }
    counters = Array.new(50, &declare)
    bound = counters.each_with_index.map { |counter, number| counter.with("l#{number}" => "kept") }
    GC.verify_compaction_references(double_heap: true, toward: :empty)
    GC.compact
    counters.each_with_index { |counter, number| counter.increment("l#{number}": "kept") }
    bound.each(&:increment)

    values = counters.each_with_index.map { |counter, number| counter.value("l#{number}": "kept") }
    expect(values).to all eq(2)
    same = counters.each_with_index.map { |counter, number| declare.call(number).equal?(counter) }
    expect(same).to all be(true)
  end

  it "frees bound instruments and pages that nobody holds" do
    counter = TaskerTelemetry.counter(:bridge_freed_total, labels: %i[number])
    make = lambda do
      2_000.times { |number| counter.with(number: number).increment }
      50.times { TaskerTelemetry::Native.page("json").next_chunk }
    end
    make.call
    GC.start

    expect(ObjectSpace.each_object(TaskerTelemetry::BoundCounter).count).to be < 200
    expect(ObjectSpace.each_object(TaskerTelemetry::Native::Page).count).to be < 10
  end
end
