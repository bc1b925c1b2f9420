# frozen_string_literal: true

require "json"

RSpec.describe TaskerTelemetry::Logs do
  let(:log) { StringIO.new }
  let(:logger) { Logger.new(log, formatter: ->(severity, _, _, message) { "#{severity} #{message}\n" }) }

  def set_up(format: :json, enabled: true)
    configure do |config|
      config.logger = logger
      config.logs.enabled = enabled
      config.logs.format = format
    end
  end

  # The lines written by one event: [severity, what JSON says].
  def written(**event)
    log.truncate(log.rewind)
    described_class.write(**event)
    log.string.lines.map { |line| line.split(" ", 2) }.map { |severity, text| [severity, JSON.parse(text)] }
  end

  def payload(content)
    written(name: "x", payload: content).dig(0, 1, "payload")
  end

  def traced(trace_id, span_id)
    trace = Struct.new(:trace_id, :span_id).new(trace_id, span_id)
    without_partial_double_verification { allow(TaskerTelemetry).to receive(:current_trace).and_return(trace) }
  end

  describe ".write" do
    before { set_up }

    it "writes one line of JSON" do
      time = Time.utc(2024, 1, 2, 3, 4, 5.5)
      lines = written(name: "order.completed", payload: { order_id: 7, total: 1.5 }, time: time, duration: 0.25,
                      trace_id: "a" * 32, span_id: "b" * 16, correlation_id: "c")
      expect(lines).to eq(
        [["INFO", { "time" => "2024-01-02T03:04:05.500000Z", "level" => "info", "event" => "order.completed",
                    "trace_id" => "a" * 32, "span_id" => "b" * 16, "correlation_id" => "c", "duration" => 0.25,
                    "payload" => { "order_id" => 7, "total" => 1.5 } }]]
      )
    end

    it "leaves out what is not known" do
      expect(written(name: "order.completed").dig(0, 1).keys).to eq(%w[time level event])
    end

    it "takes the level from the name, or from who calls" do
      expect(%w[a.failed a.error a.warning a.debug a.completed failed.a error].map { |name| written(name: name)[0][0] })
        .to eq(%w[ERROR ERROR WARN DEBUG INFO INFO ERROR])
      expect(written(name: "a.failed", level: :fatal)[0][0]).to eq("FATAL")
      expect(written(name: "a.failed", level: "info")[0][0]).to eq("INFO")
    end

    it "writes nothing unless it is enabled, or where the level is not written" do
      logger.level = :warn
      expect(described_class.write(name: "a.completed")).to be(false)
      expect(described_class.write(name: "a.failed")).to be(true)
      set_up(enabled: false)
      expect(described_class.write(name: "a.failed")).to be(false)
      expect(log.string.lines.size).to eq(1)
    end

    it "takes trace and correlation from what is going on" do
      traced("t", "s")
      TaskerTelemetry.with_correlation_id("here") do
        expect(written(name: "x").dig(0, 1)).to include("trace_id" => "t", "span_id" => "s", "correlation_id" => "here")
        line = written(name: "x", trace_id: "other", payload: { correlation_id: "own" }).dig(0, 1)
        expect(line.values_at("trace_id", "span_id", "correlation_id")).to eq(["other", nil, "own"])
      end
    end

    it "gives the payload to the filter, which decides what is written" do
      given = nil
      filter = lambda do |content|
        given = content
        content.merge("secret" => "-")
      end
      line = written(name: "x", payload: { secret: "hunter2", deep: [{ at: Time.at(0) }] }.freeze, filter: filter)
      expect(line.dig(0, 1, "payload")).to eq("secret" => "-", "deep" => [{ "at" => "1970-01-01T00:00:00.000000Z" }])
      expect(given["secret"]).to eq("hunter2")
    end

    it "keeps secrets to itself where nobody gives a filter" do
      written(name: "x", payload: { password: "hunter2", deep: [{ "api_key" => "hunter2", note: "token=hunter2" }],
                                    error: RuntimeError.new("redis://u:hunter2@host") })
      expect(log.string).to include("[FILTERED]")
      expect(log.string).not_to include("hunter2")
    end

    it "writes values of every kind" do
      kinds = { int: 2**64, float: 0.5, nan: Float::NAN, big: 10**5000, ratio: 1r / 3, symbol: :paid, none: nil,
                yes: true, type: String, error: KeyError.new("gone"), object: Object.new, list: [1, [2]], 5 => "five" }
      expect(payload(kinds)).to eq(
        "int" => 2**64, "float" => 0.5, "nan" => "NaN", "big" => "[Integer of 16610 bits]", "ratio" => "1/3",
        "symbol" => "paid", "none" => nil, "yes" => true, "type" => "String", "error" => "KeyError: gone",
        "object" => "[Object]", "list" => [1, [2]], "5" => "five"
      )
    end

    it "survives cycles, depth, size, and what is no text" do
      cycle = { n: 1 }
      cycle[:self] = cycle
      cycle[:list] = [cycle]
      expect(payload(cycle)).to eq("n" => 1, "self" => "[cycle]", "list" => ["[cycle]"])
      same = [1]
      expect(payload({ a: same, b: same })).to eq("a" => [1], "b" => [1])
      expect(payload({ a: { b: { c: { d: { e: 1 } } } } })).to eq("a" => { "b" => { "c" => { "d" => "[Hash of 1]" } } })
      expect(payload({ text: "x" * 2_000_000, bad: "a\xffb", utf16: "käse".encode("UTF-16LE") }))
        .to eq("text" => "#{"x" * 1024}…", "bad" => "a\u{FFFD}b", "utf16" => "käse")
      expect(payload({ bytes: "\xff\x00\xfe".b, words: "käse".b, long: ("ä" * 5_000).b }))
        .to include("bytes" => "[binary, 3 bytes]", "words" => "käse", "long" => "#{"ä" * 1024}…")
      expect(payload({ list: (1..1000).to_a })["list"].last).to eq("… 1000 in all")
      expect(payload((1..1000).to_h { |n| ["k#{n}", n] })).to include("k50" => 50, "…" => "1000 in all")
      wide = Array.new(50) { Array.new(50) { Array.new(50) { "x" * 1000 } } }
      payload({ wide: wide })
      expect(log.string.bytesize).to be < 30_000
    end

    it "survives objects that raise, and keys of any kind" do
      bad = Class.new do
        def to_s = raise(NotImplementedError)
        alias_method :inspect, :to_s
        def iso8601 = raise(NotImplementedError)
        def to_time = nil
      end
      stub_const("Bad", bad)
      expect(payload({ bad.new => 1, value: bad.new })).to eq("[Bad]" => 1, "value" => "[unreadable]")
    end

    it "counts a filter that raises, and a logger that cannot, and writes no line" do
      expect(described_class.write(name: "x", filter: ->(_) { raise NotImplementedError })).to be(false)
      silent = Object.new
      %i[warn error].each { |level| silent.define_singleton_method(level) { |_| raise IOError } }
      configure { |config| config.logger = silent }
      expect(%w[x x.failed].map { |name| described_class.write(name: name) }).to eq([false, false])
    end

    it "keeps to one line" do
      written(name: "x", payload: { text: "one\ntwo\u2028three\r\e[31m" })
      expect(log.string.lines.size).to eq(1)
      expect(log.string).not_to match(/[\u2028\e\r]/)
    end
  end

  describe "key=value" do
    before { set_up(format: :key_value) }

    it "quotes what needs it, and tells the payload's keys from its own" do
      payload = { order_id: 7, reason: "two words", note: 'say "no"', empty: "", list: [1, { a: 2 }], none: nil,
                  level: "gold", "odd key=" => "käse" }
      described_class.write(name: "order.failed", time: Time.at(0), duration: 1, payload: payload)
      expect(log.string.chomp).to eq(
        "ERROR time=1970-01-01T00:00:00.000000Z level=error event=order.failed duration=1.0 order_id=7 " \
        'reason="two words" note="say \"no\"" empty="" list="[1,{\"a\":2}]" none= payload.level=gold odd_key_=käse'
      )
    end

    it "keeps to one line" do
      described_class.write(name: "x", payload: { "a\nb" => "one\ntwo\u2028\e" })
      expect(log.string.lines.size).to eq(1)
      expect(log.string).not_to match(/[\u2028\e]/)
    end
  end

  describe "the ids of the trace" do
    it "are tags for Rails, which are asked for each request" do
      tags = described_class.tags
      expect(tags.map { |tag| tag.call(nil) }).to eq([nil, nil])
      traced("t", "s")
      expect(tags.map { |tag| tag.call(nil) }).to eq(%w[trace_id=t span_id=s])
    end

    it "are options for lograge and named tags for SemanticLogger" do
      options = described_class.lograge_options
      expect([options.call(nil), described_class.custom_options, described_class.named_tags]).to all(eq({}))
      traced("t", "s")
      TaskerTelemetry.with_correlation_id("c") do
        expect([options.call(nil), described_class.custom_options, described_class.named_tags])
          .to all(eq(trace_id: "t", span_id: "s", correlation_id: "c"))
      end
    end

    it "are left out when they cannot be told" do
      without_partial_double_verification { allow(TaskerTelemetry).to receive(:current_trace).and_raise("no") }
      lines = logged { expect(described_class.custom_options).to eq({}) }
      expect(lines.size).to eq(1)
    end
  end
end
