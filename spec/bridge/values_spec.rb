# frozen_string_literal: true

require "bigdecimal"

RSpec.describe "Values of a payload" do
  events = TaskerTelemetry.events

  before do
    configure
    TaskerTelemetry.reset!
    events.map("values.told", backends: :metrics, labels: :value)
  end

  after { events.reset! }

  def told(value)
    TaskerTelemetry.instrument("values.told", value: value)
    series("values_told_total").keys.map { |labels| labels[:value] }.last
  end

  def series(name)
    TaskerTelemetry.snapshot.to_h.fetch(name, {})
  end

  {
    "the largest fixnum" => [(2**62) - 1, "4611686018427387903"],
    "the smallest Integer that is none" => [2**62, "4611686018427387904"],
    "the largest of 64 bits" => [(2**63) - 1, "9223372036854775807"],
    "the smallest of 64 bits" => [-(2**63), "-9223372036854775808"],
    "one of more" => [2**63, "9223372036854775808"],
    "a negative one of more" => [-(2**63) - 1, "-9223372036854775809"],
    "one of 256 bits" => [2**255, (2**255).to_s],
    "one whose digits take long" => [2**256, "[Integer of 257 bits]"],
    "a Rational" => [Rational(3, 2), "1.5"],
    "a BigDecimal" => [BigDecimal("1.5"), "0.15e1"],
    "a Complex" => [Complex(1, 2), "1+2i"],
    "a Complex whose digits take long" => [Complex(1, 10**100_000), ""],
    "a Range" => [1..3, "1..3"],
    "a Range whose digits take long" => [1..Rational(10**100_000, 3), ""],
    "a Range of what is inspected" => [[1]..[2], ""],
    "Latin 1" => ["caf\u{e9}".encode("ISO-8859-1"), "café"],
    "UTF-16" => ["caf\u{e9}".encode("UTF-16LE"), "café"],
    "what looks like an object, in another encoding" => ["#<é>".encode("ISO-8859-1"), "#<é>"],
    "a Class" => [String, "String"],
    "a Module" => [Process::Status, "Process::Status"],
    "a Class without a name" => [Class.new, ""],
    "an exception" => [IOError.new("gone"), "gone"],
    "an object" => [Object.new, ""],
    "a Proc" => [proc {}, ""],
    "a Struct" => [Struct.new(:pin).new("1234"), ""],
    "a Struct with words of its own" => [Struct.new(:pin) { def to_s = "hidden" }.new("1234"), "hidden"]
  }.each do |what, (value, label)|
    it "are read: #{what}" do
      expect(told(value)).to eq(label)
    end
  end

  it "are cut where they are long, in whatever encoding" do
    bytes = ["é".encode("ISO-8859-1"), "é".encode("UTF-32BE")].map { |letter| told(letter * 1_000_000).bytesize }
    expect(bytes).to all be_between(1, 4_200)
  end

  it "identify a task where they are large" do
    id = (2**64) + 5
    2.times { TaskerTelemetry.instrument("task.completed", task_id: id, task_name: "t", duration: 1) }
    TaskerTelemetry.instrument("task.completed", task_id: id + 1, task_name: "t", duration: 1)
    expect(series("task_completed_total").values.sum).to eq(2)
  end

  it "name a task in Latin 1" do
    latin = "caf\u{e9}".encode("ISO-8859-1")
    TaskerTelemetry.instrument("task.completed", task_id: 1, task_name: latin, duration: 1)
    expect(series("task_completed_total").keys).to contain_exactly(include(task_name: "café"))
  end

  it "keep their keys, whatever those are", :collector do
    trace_to(@collector)
    keyed = { 200 => 5, nil => 1, true => 2, 1.5 => 3, String => 4, (2**64) => 6, "é".encode("UTF-16LE") => 7,
              Object.new => 8, [1] => 9, pin: 10 }
    configure { |config| config.filter_parameters = [/\A200\z/] }
    TaskerTelemetry.span("keyed", nested: keyed) { nil }
    expect(sent(1).first.attributes["nested"]).to eq(
      '{"200":"[FILTERED]","":1,"true":2,"1.5":3,"String":4,"18446744073709551616":6,"é":7,"…":8,"…":9,"pin":10}'
    )
  end
end
