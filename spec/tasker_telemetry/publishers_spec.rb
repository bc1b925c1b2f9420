# frozen_string_literal: true

RSpec.describe TaskerTelemetry::Publishers do
  let(:publisher) { EventPublisher.new("order.paid", "order.sent", :"order.lost") }
  let(:told) { [] }
  let(:sink) { ->(name, payload) { told << [name, payload] } }

  it "passes on the name and payload of events" do
    described_class.listen(publisher, ["order.paid"], sink)
    publisher.publish("order.paid", order_id: 7)
    publisher.publish("order.sent", order_id: 7)
    expect(told).to eq([["order.paid", { order_id: 7 }]])
  end

  it "listens to the names that are registered, as Strings or Symbols, and tells which those are" do
    refused = []
    names = described_class.listen(publisher, %w[order.paid order.gone order.lost], sink) do |name, error|
      refused << [name, error.class]
    end
    publisher.publish(:"order.lost")
    expect(names).to eq(%w[order.paid order.lost])
    expect(refused).to eq([["order.gone", EventPublisher::UnregisteredName]])
    expect(told).to eq([["order.lost", {}]])
  end

  it "never listens twice to the same publisher and name" do
    other = []
    3.times { described_class.listen(publisher, ["order.paid"], sink) }
    described_class.listen(publisher, ["order.paid"], ->(name, _) { other << name })
    publisher.publish("order.paid")
    expect(told.size).to eq(1)
    expect(other.size).to eq(1)
    expect(publisher.__bus__.listeners["order.paid"].size).to eq(1)
  end

  it "tells a sink nothing more once it is silenced, and again when asked again" do
    described_class.listen(publisher, ["order.paid"], sink)
    described_class.silence(publisher, sink)
    publisher.publish("order.paid", n: 1)
    described_class.listen(publisher, ["order.paid"], sink)
    publisher.publish("order.paid", n: 2)
    expect(told).to eq([["order.paid", { n: 2 }]])
    expect(publisher.__bus__.listeners["order.paid"].size).to eq(1)
    expect { described_class.silence(EventPublisher.new, sink) }.not_to raise_error
  end

  it "keeps publishers apart, equal ones too" do
    equal = Class.new(EventPublisher) { def ==(_other) = true }
    others = Array.new(2) { equal.new("order.paid") }
    others.each { |each| described_class.listen(each, ["order.paid"], sink) }
    others.first.publish("order.paid")
    others.last.publish("order.paid")
    expect(told.size).to eq(2)
  end

  it "goes on listening when memory is collected" do
    described_class.listen(publisher, ["order.paid"], sink)
    3.times { GC.start }
    described_class.listen(publisher, ["order.paid"], sink)
    publisher.publish("order.paid")
    expect(told.size).to eq(1)
  end

  it "does not keep a publisher that nobody else does" do
    gone = Array.new(20) do
      forgotten = EventPublisher.new("order.paid")
      described_class.listen(forgotten, ["order.paid"], sink)
      ObjectSpace::WeakMap.new.tap { |map| map[forgotten] = forgotten }
    end
    eventually { GC.start || gone.any? { |map| map.size.zero? } }
  end

  {
    "a Hash" => [{ a: 1 }, { a: 1 }],
    "a Struct" => [Struct.new(:a).new(1), { a: 1 }],
    "an object with a payload" => [Struct.new(:id, :payload).new("x", { a: 1 }), { a: 1 }],
    "an object whose payload is a Struct" => [Struct.new(:payload).new(Struct.new(:a).new(1)), { a: 1 }],
    "an object whose payload is no Hash" => [Struct.new(:payload).new([1, 2]), {}],
    "nothing" => [nil, {}],
    "a list" => [[1, 2], {}],
    "a number" => [5, {}]
  }.each do |what, (event, payload)|
    it "reads an event that is #{what}" do
      expect(described_class.payload_of(event)).to eq(payload)
    end
  end

  it "isolates and counts an event that cannot be read, and a sink that raises" do
    lines = logged do
      described_class.listen(publisher, ["order.paid"], ->(*) { raise NotImplementedError, "no" })
      described_class.listen(publisher, ["order.paid"], sink)
      publisher.publish("order.paid")
      unreadable = Object.new
      unreadable.define_singleton_method(:payload) { raise "unreadable" }
      publisher.__bus__.listeners["order.paid"].each { |listener| listener.call(unreadable) }
    end
    expect(told).to eq([["order.paid", {}]])
    expect(lines.grep(/order.paid: NotImplementedError: no/).size).to eq(1)
    expect(lines.grep(/TaskerTelemetry::Publishers raised .*unreadable/).size).to eq(1)
  end

  it "tells which events a publisher has, where that can be asked" do
    expect(described_class.names_of(publisher)).to eq(%w[order.paid order.sent order.lost])
    by_class = Class.new { def self.events = { "order.paid" => nil } }
    expect(described_class.names_of(by_class.new)).to eq(%w[order.paid])
    expect(described_class.names_of(Object.new)).to be_nil
  end

  it "refuses what is no publisher" do
    expect { described_class.listen(Object.new, ["x"], sink) }.to raise_error(ArgumentError, /Object is no publisher/)
  end
end
