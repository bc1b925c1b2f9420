# frozen_string_literal: true

RSpec.describe "Instruments" do
  before { TaskerTelemetry.reset! }

  let(:counter) { TaskerTelemetry.counter(:bridge_orders_total, "Orders placed", labels: %i[status]) }
  let(:gauge) { TaskerTelemetry.gauge(:bridge_depth, "Jobs waiting", labels: %i[queue], aggregation: :sum) }
  let(:histogram) do
    TaskerTelemetry.histogram(:bridge_size_bytes, "Sizes", labels: %i[kind], unit: :bytes, buckets: [10, 0.5, 2])
  end

  it "tell how they were declared" do
    expect(counter).to have_attributes(name: :bridge_orders_total, help: "Orders placed", label_names: [:status],
                                       unit: nil)
    expect(gauge).to have_attributes(name: :bridge_depth, aggregation: :sum)
    expect(histogram).to have_attributes(name: :bridge_size_bytes, unit: "bytes", buckets: [0.5, 2.0, 10.0])
  end

  it "show their name and schema, and no values" do
    counter.increment(41, status: "paid")

    expect(counter.inspect)
      .to eq("#<TaskerTelemetry::Counter bridge_orders_total: counter with labels [status]>")
    expect(counter.with(status: "paid").inspect)
      .to eq("#<TaskerTelemetry::BoundCounter bridge_orders_total: counter with labels [status]>")
  end

  it "are the same object for the same declaration, whatever the help" do
    first = TaskerTelemetry.counter(:bridge_again_total, "Orders placed", labels: %i[status])
    again = TaskerTelemetry.counter("bridge_again_total", "Other words", labels: %w[status])

    expect(again).to equal(first)
  end

  it "cannot be declared in two ways" do
    counter

    expect { TaskerTelemetry.counter(:bridge_orders_total, labels: %i[other]) }
      .to raise_error(TaskerTelemetry::DeclarationError, /already declared as counter with labels \[status\]/)
    expect { TaskerTelemetry.counter(:bridge_orders_total, labels: %i[status], unit: :orders) }
      .to raise_error(TaskerTelemetry::DeclarationError, /unit orders/)
    expect { TaskerTelemetry.gauge(:bridge_orders_total, labels: %i[status]) }
      .to raise_error(TaskerTelemetry::DeclarationError, /already declared as counter with labels \[status\]/)
  end

  it "are made by declaring alone" do
    [TaskerTelemetry::Counter, TaskerTelemetry::Gauge, TaskerTelemetry::Histogram, TaskerTelemetry::BoundCounter,
     TaskerTelemetry::BoundGauge, TaskerTelemetry::BoundHistogram, TaskerTelemetry::Native::Page].each do |made|
      expect { made.allocate }.to raise_error(TypeError), made.name
      expect { made.send(:new) }.to raise_error(TypeError), made.name
      expect { Class.new(made).allocate }.to raise_error(TypeError), made.name
    end
    expect { counter.dup }.to raise_error(TypeError)
    expect { counter.clone }.to raise_error(TypeError)
    expect { Marshal.dump(counter) }.to raise_error(TypeError)
  end

  it "lend their methods to nothing else" do
    expect { counter.method(:increment).unbind.bind(gauge) }.to raise_error(TypeError)
    expect { counter.method(:value).unbind.bind(Object.new) }.to raise_error(TypeError)
  end

  it "are frozen" do
    expect(counter).to be_frozen
    expect { counter.instance_variable_set(:@x, 1) }.to raise_error(FrozenError)
  end

  describe "a counter" do
    it "counts what it is told, apart by labels" do
      counter.increment(status: "paid")
      counter.increment(3, status: "paid")
      counter.increment(status: "open")

      expect(counter.value(status: "paid")).to eq(4)
      expect(counter.value(status: "open")).to eq(1)
      expect(counter.value(status: "lost")).to eq(0)
    end

    it "answers nil to every increment" do
      expect([counter.increment(status: "a"), counter.increment(2, status: "a"), counter.with(status: "a").increment,
              counter.with(status: "a").increment(0.5)]).to all be_nil
    end

    it "makes no series when it is only read or bound" do
      counter.value(status: "read")
      counter.with(status: "bound").value
      counter.remove(status: "removed")

      expect(TaskerTelemetry.snapshot.map(&:name)).not_to include("bridge_orders_total")
    end
  end

  describe "a gauge" do
    it "is set, and goes up and down" do
      gauge.set(7, queue: "mail")
      gauge.increment(queue: "mail")
      gauge.decrement(queue: "mail")
      gauge.decrement(2.5, queue: "mail")
      gauge.increment(0.5, queue: "mail")

      expect(gauge.value(queue: "mail")).to eq(5)
      bound = gauge.with(queue: "mail")
      bound.set(1)
      bound.increment(4)
      bound.decrement
      expect(bound.value).to eq(4)
    end
  end

  describe "a histogram" do
    it "tells count, sum and cumulative buckets" do
      [0.5, 1, 2, 3, 100].each { |value| histogram.observe(value, kind: "a") }

      expect(histogram.value(kind: "a"))
        .to eq(count: 5, sum: 106.5, buckets: { 0.5 => 1, 2.0 => 3, 10.0 => 4, Float::INFINITY => 5 })
      expect(histogram.with(kind: "a").value).to eq(histogram.value(kind: "a"))
    end

    it "tells zeros when nothing was observed" do
      expect(histogram.value(kind: "b"))
        .to eq(count: 0, sum: 0.0, buckets: { 0.5 => 0, 2.0 => 0, 10.0 => 0, Float::INFINITY => 0 })
    end
  end

  describe "removal" do
    it "forgets one series, and answers whether there was one" do
      counter.increment(status: "paid")
      counter.increment(status: "open")

      expect(counter.remove(status: "paid")).to be(true)
      expect(counter.remove(status: "paid")).to be(false)
      expect(counter.value(status: "paid")).to eq(0)
      expect(counter.value(status: "open")).to eq(1)
    end

    it "by a bound instrument leaves it usable" do
      bound = gauge.with(queue: "mail")
      bound.set(5)

      expect(bound.remove).to be(true)
      expect(bound.value).to eq(0)
      bound.increment
      expect(gauge.value(queue: "mail")).to eq(1)
    end

    it "of all answers how many there were" do
      3.times { |number| counter.increment(status: number) }

      expect(counter.clear).to eq(3)
      expect(counter.clear).to eq(0)
    end
  end

  describe "methods that record nothing" do
    it "raise for arguments that they do not take" do
      expect { counter.value(1, status: "paid") }.to raise_error(ArgumentError, /given 1, expected 0/)
      expect { counter.with(1, status: "paid") }.to raise_error(ArgumentError, /given 1, expected 0/)
      expect { counter.remove({ status: "paid" }) }.to raise_error(ArgumentError, /given 1, expected 0/)
      expect { counter.clear(status: "paid") }.to raise_error(ArgumentError, /no keywords accepted/)
      expect { counter.name(1) }.to raise_error(ArgumentError, /given 1, expected 0/)
      expect { counter.with(status: "paid").value(1) }.to raise_error(ArgumentError, /given 1, expected 0/)
    end
  end
end
