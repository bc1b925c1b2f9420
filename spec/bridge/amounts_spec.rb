# frozen_string_literal: true

require "bigdecimal"

RSpec.describe "Amounts" do
  before { TaskerTelemetry.reset! }

  let(:counter) { TaskerTelemetry.counter(:bridge_amounts_total, "Amounts", labels: %i[kind]) }
  let(:gauge) { TaskerTelemetry.gauge(:bridge_amount, "Amounts", labels: %i[kind]) }
  let(:histogram) { TaskerTelemetry.histogram(:bridge_amount_sizes, "Amounts", labels: %i[kind], buckets: [1, 10]) }

  # Every way to say an amount, beside what it is.
  amounts = {
    "an Integer" => [7, 7],
    "zero" => [0, 0],
    "a Float" => [2.5, 2.5],
    "a Float that is no immediate" => [1e-300, 1e-300],
    "a Rational" => [Rational(1, 4), 0.25],
    "a BigDecimal" => [BigDecimal("1.5"), 1.5],
    "an Integer over 2^62" => [2**63, 2**63],
    "an Integer over 2^64" => [2**70, (2**70).to_f],
    "an object with to_f" => [Struct.new(:to_f).new(3.5), 3.5]
  }

  amounts.each do |name, (given, counted)|
    it "may be #{name}" do
      counter.increment(given, kind: "a")
      counter.with(kind: "b").increment(given)
      gauge.set(given, kind: "a")
      gauge.with(kind: "b").set(given)
      gauge.decrement(given, kind: "c")
      gauge.with(kind: "d").increment(given)
      histogram.observe(given, kind: "a")
      histogram.with(kind: "b").observe(given)

      expect(counter.value(kind: "a")).to eq(counted)
      expect(counter.with(kind: "b").value).to eq(counted)
      expect(gauge.value(kind: "a")).to eq(counted.to_f)
      expect(gauge.value(kind: "b")).to eq(counted.to_f)
      expect(gauge.value(kind: "c")).to eq(-counted.to_f)
      expect(gauge.value(kind: "d")).to eq(counted.to_f)
      expect(histogram.value(kind: "a")).to include(count: 1, sum: counted.to_f)
      expect(histogram.value(kind: "b")).to include(count: 1, sum: counted.to_f)
    end
  end

  it "are whole numbers of any size up to 2^64 - 1 without loss" do
    counter.increment((2**64) - 1, kind: "a")
    counter.increment(2**53, kind: "b")
    3.times { counter.increment(kind: "b") }

    expect(counter.value(kind: "a")).to be_an(Integer).and eq((2**64) - 1)
    expect(counter.value(kind: "b")).to be_an(Integer).and eq((2**53) + 3)
  end

  it "make a counter's value a Float as soon as one of them has a fraction" do
    counter.increment(1, kind: "a")
    counter.increment(0.5, kind: "a")

    expect(counter.value(kind: "a")).to be_a(Float).and eq(1.5)
  end

  it "may be negative and infinite where a gauge is set" do
    gauge.set(-3, kind: "a")
    gauge.set(-Float::INFINITY, kind: "b")

    expect(gauge.value(kind: "a")).to eq(-3)
    expect(gauge.value(kind: "b")).to eq(-Float::INFINITY)
  end

  # What each method refuses.
  refused = {
    "a negative Integer" => [-1, %i[increment]],
    "a negative Float" => [-0.5, %i[increment]],
    "NaN" => [Float::NAN, %i[increment set add observe]],
    "Infinity" => [Float::INFINITY, %i[increment add observe]],
    "an Integer beyond every Float" => [10**400, %i[increment add observe]],
    "nil" => [nil, %i[increment set add observe]],
    "text that spells a number" => ["7", %i[increment set add observe]],
    "a Symbol" => [:seven, %i[increment set add observe]],
    "true" => [true, %i[increment set add observe]],
    "a Hash with braces" => [{ kind: "a" }, %i[increment set add observe]],
    "an object without to_f" => [Object.new, %i[increment set add observe]],
    "an object without any method" => [BasicObject.new, %i[increment set add observe]],
    "an object whose to_f raises" => [Class.new { def to_f = raise("no") }.new, %i[increment set add observe]]
  }
  calls = {
    increment: ->(spec, *given) { [spec.counter, spec.counter.with(kind: "a")].map { |of| [of, :increment, given] } },
    set: ->(spec, *given) { [spec.gauge, spec.gauge.with(kind: "a")].map { |of| [of, :set, given] } },
    add: lambda do |spec, *given|
      [spec.gauge, spec.gauge.with(kind: "a")].flat_map { |of| [[of, :increment, given], [of, :decrement, given]] }
    end,
    observe: ->(spec, *given) { [spec.histogram, spec.histogram.with(kind: "a")].map { |of| [of, :observe, given] } }
  }

  refused.each do |name, (given, methods)|
    methods.each do |method|
      it "are refused by #{method} when they are #{name}" do
        calls.fetch(method).call(self, given).each do |receiver, message, arguments|
          labels = receiver.class.name.include?("Bound") ? {} : { kind: "a" }
          answer = :none
          lines = logged { answer = receiver.public_send(message, *arguments, **labels) }

          expect(answer).to be_nil
          expect(lines.size).to eq(1)
          expect(lines.first).to match(/\Atasker_telemetry: bridge_amount\S* cannot take .+: .+/)
        end
        expect(dropped(:invalid_value)).to be_positive
        expect(counter.value(kind: "a")).to eq(0)
        expect(histogram.value(kind: "a")).to include(count: 0)
        expect(gauge.value(kind: "a")).to eq(0)
      end
    end
  end

  it "are counted once each when refused" do
    logged do
      counter.increment(-1, kind: "a")
      counter.increment("x", kind: "a")
      counter.with(kind: "a").increment(Float::NAN)
    end

    expect(dropped(:invalid_value)).to eq(3)
  end

  it "raise in strict mode, and are counted as well" do
    configure { |config| config.strict = true }

    expect { counter.increment(-1, kind: "a") }
      .to raise_error(TaskerTelemetry::InvalidSample, "bridge_amounts_total cannot take -1: a counter only grows")
    expect { gauge.set("7", kind: "a") }.to raise_error(TaskerTelemetry::InvalidSample, /class String/)
    expect { histogram.with(kind: "a").observe(Float::NAN) }.to raise_error(TaskerTelemetry::InvalidSample, /NaN/)
    expect(dropped(:invalid_value)).to eq(3)
  end

  it "are one, and none only for increments" do
    lines = logged do
      counter.increment(1, 2, kind: "a")
      gauge.set(kind: "a")
      gauge.with(kind: "a").set
      histogram.observe(kind: "a")
      histogram.with(kind: "a").observe(1, 2)
    end

    expect(lines).to all match(/cannot take \d positional arguments: a sample has one amount/)
    expect(dropped(:invalid_value)).to eq(5)
    expect(counter.value(kind: "a")).to eq(0)
  end
end
