# frozen_string_literal: true

RSpec.describe "Objects made by a recording call" do
  before { TaskerTelemetry.reset! }

  labels = { status: "paid", plan: :pro }.freeze
  bound = {
    "BoundCounter#increment" => ->(m) { -> { m.fetch(:bound_counter).increment } },
    "BoundCounter#increment(2)" => ->(m) { -> { m.fetch(:bound_counter).increment(2) } },
    "BoundCounter#increment(0.5)" => ->(m) { -> { m.fetch(:bound_counter).increment(0.5) } },
    "BoundGauge#set" => ->(m) { -> { m.fetch(:bound_gauge).set(3) } },
    "BoundGauge#increment" => ->(m) { -> { m.fetch(:bound_gauge).increment } },
    "BoundGauge#decrement" => ->(m) { -> { m.fetch(:bound_gauge).decrement(1.5) } },
    "BoundHistogram#observe" => ->(m) { -> { m.fetch(:bound_histogram).observe(0.3) } },
    "Counter#increment without labels" => ->(m) { -> { m.fetch(:bare).increment } }
  }
  labelled = {
    "Counter#increment" => ->(m) { -> { m.fetch(:counter).increment(status: "paid", plan: :pro) } },
    "Counter#increment(2)" => ->(m) { -> { m.fetch(:counter).increment(2, status: 200, plan: nil) } },
    "Counter#increment(**constant)" => ->(m) { -> { m.fetch(:counter).increment(**labels) } },
    "Gauge#set" => ->(m) { -> { m.fetch(:gauge).set(3, status: "paid", plan: true) } },
    "Gauge#increment" => ->(m) { -> { m.fetch(:gauge).increment(status: "paid", plan: :pro) } },
    "Gauge#decrement" => ->(m) { -> { m.fetch(:gauge).decrement(status: "paid", plan: :pro) } },
    "Histogram#observe" => ->(m) { -> { m.fetch(:histogram).observe(0.3, status: "paid", plan: :pro) } }
  }

  let(:metrics) do
    counter = TaskerTelemetry.counter(:bridge_objects_total, "Objects", labels: %i[status plan])
    gauge = TaskerTelemetry.gauge(:bridge_objects_now, "Objects", labels: %i[status plan])
    histogram = TaskerTelemetry.histogram(:bridge_objects_seconds, "Objects", labels: %i[status plan])
    { counter: counter, gauge: gauge, histogram: histogram,
      bare: TaskerTelemetry.counter(:bridge_objects_bare_total, "Objects"),
      bound_counter: counter.with(**labels), bound_gauge: gauge.with(**labels),
      bound_histogram: histogram.with(**labels) }
  end

  bound.each do |name, call|
    it("are none for #{name}") { expect(objects(call.call(metrics))).to eq(0) }
  end

  # Ruby makes a Hash of the keywords for every native method; the String literals here are frozen by the magic comment.
  labelled.each do |name, call|
    it("are one for #{name} with 2 labels") { expect(objects(call.call(metrics))).to eq(1) }
  end
end
