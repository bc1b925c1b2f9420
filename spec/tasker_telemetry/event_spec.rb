# frozen_string_literal: true

RSpec.describe TaskerTelemetry::Event do
  it "finds values under Symbols and Strings" do
    event = described_class.new("order.paid", { :a => 1, "b" => 2, :none => nil })
    expect([event[:a], event["a"], event[:b], event["b"], event[:none], event[:c]]).to eq([1, 1, 2, 2, nil, nil])
  end

  it "took as long as from its start to its end, as far as both are known" do
    now = Time.now
    expect(described_class.new("x", {}, started: now - 1.5, finished: now).duration).to be_within(1e-6).of(1.5)
    point = described_class.new("x", {})
    expect([point.started, point.duration, point.finished.class]).to eq([nil, nil, Time])
  end

  it "shows no values" do
    event = described_class.new("order.paid", { password: "hunter2" })
    expect([event.inspect, event.to_s]).to all(eq('#<TaskerTelemetry::Event order.paid ["password"]>'))
    expect(event).to be_frozen
  end
end
