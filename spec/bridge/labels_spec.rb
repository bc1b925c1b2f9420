# frozen_string_literal: true

require "English"
require "timeout"

RSpec.describe "Labels" do
  before { TaskerTelemetry.reset! }

  let(:counter) { TaskerTelemetry.counter(:bridge_labels_total, "Labels", labels: %i[status plan]) }
  let(:single) { TaskerTelemetry.counter(:bridge_label_total, "Label", labels: %i[value]) }
  let(:bare) { TaskerTelemetry.counter(:bridge_bare_total, "None") }

  # The values of a metric's series, as they are exported.
  def values_of(metric)
    TaskerTelemetry.snapshot.select { |series| series.name == metric.name.to_s }.map { |series| series.labels.values }
  end

  def to_s_of(&)
    Class.new.tap { |made| made.define_method(:to_s, &) }.new
  end

  describe "values" do
    values = {
      "a String" => %w[paid paid],
      "an empty String" => ["", ""],
      "a Symbol" => [:paid, "paid"],
      "a Symbol beyond ASCII" => [:bezahlt✓, "bezahlt✓"],
      "a Symbol made at run time" => ["made_at_run_time_#{rand(1_000_000)}".to_sym, /\Amade_at_run_time_\d+\z/],
      "an Integer" => [42, "42"],
      "a negative Integer" => [-42, "-42"],
      "the smallest small Integer" => [-2**62, "-4611686018427387904"],
      "a large Integer" => [2**80, (2**80).to_s],
      "a Float" => [1.5, "1.5"],
      "true" => [true, "true"],
      "false" => [false, "false"],
      "nil" => [nil, ""],
      "a class" => [String, "String"],
      "a String of a subclass" => [Class.new(String).new("sub"), "sub"],
      "text with quotes, backslashes, newlines, emoji and NUL" => ["a\"b\\c\nd\0é🎉", "a\"b\\c\nd\0é🎉"],
      "invalid UTF-8" => ["a\xFFb", "a\uFFFDb"],
      "bytes of no encoding" => ["caf\xC3\xA9".b, "café"],
      "bytes that are no text" => ["\xFF\xFE".b, "\uFFFD\uFFFD"],
      "US-ASCII" => ["paid".encode("US-ASCII"), "paid"],
      "Latin-1" => ["café".encode("ISO-8859-1"), "café"],
      "Shift_JIS" => ["日本".encode("Shift_JIS"), "日本"],
      "UTF-16" => ["日本é".encode("UTF-16LE"), "日本é"],
      "invalid Shift_JIS" => ["a\x81".dup.force_encoding("Shift_JIS"), "a\uFFFD"],
      "an encoding without converter" => ["abc".dup.force_encoding("Emacs-Mule"), "abc"]
    }

    values.each do |name, (given, exported)|
      it "may be #{name}" do
        single.increment(value: given)
        single.with(value: given).increment

        expect(single.value(value: given)).to eq(2)
        expect(values_of(single)).to match([[exported]])
      end
    end

    it "are what to_s says" do
      single.increment(value: to_s_of { "said" })
      # A to_s that gives no text is Ruby's to mend, as in an interpolation.
      single.increment(value: to_s_of { 7 })

      expect(values_of(single)).to match([["said"], [/\A#<#<Class:/]])
    end

    it "that look alike after they became text are one series" do
      ["\xFF", "\xFE", "\uFFFD"].each { |value| single.increment(value: value) }
      [1, "1", :"1"].each { |value| single.increment(value: value) }

      expect(single.value(value: "\uFFFD")).to eq(3)
      expect(single.value(value: 1)).to eq(3)
    end

    it "of any length are told apart, and are counted when they were cut" do
      long = "é" * 20_000
      single.increment(value: "#{long}a")
      single.increment(value: "#{long}b")

      expect(values_of(single).flatten.uniq.size).to eq(2)
      expect(values_of(single).flatten).to all have_attributes(bytesize: be <= 16_384)
      expect(TaskerTelemetry.status.dig(:metrics, :cut_label_values)).to eq(2)
    end

    it "that are cut are counted once each, also beside one that Ruby has to convert" do
      counter.increment(status: "x" * 20_000, plan: 1.5)
      counter.increment(status: 1.5, plan: "\xFF".b * 20_000)

      expect(TaskerTelemetry.status.dig(:metrics, :cut_label_values)).to eq(2)
    end
  end

  describe "names" do
    it "may come in any order, as Symbols or Strings" do
      counter.increment(status: "paid", plan: "pro")
      counter.increment(plan: "pro", status: "paid")
      counter.increment("status" => "paid", "plan" => "pro")
      counter.increment("status" => "paid", plan: "pro")
      labels = { plan: "pro", status: "paid" }.freeze
      counter.increment(**labels)
      counter.increment(2, **labels)
      counter.with("plan" => "pro", "status" => "paid").increment

      expect(values_of(counter)).to eq([%w[paid pro]])
      expect(counter.value("status" => :paid, "plan" => :pro)).to eq(8)
    end

    it "arrive by whatever way Ruby calls methods" do
      labels = { status: "paid", plan: "pro" }
      counter.public_send(:increment, **labels)
      counter.__send__(:increment, 1, **labels)
      counter.method(:increment).call(**labels)
      counter.method(:increment).unbind.bind_call(counter, **labels)
      counter.method(:increment).to_proc.call(1, **labels)
      [[1, labels]].each { |amount, given| counter.increment(amount, **given) }
      counter.then { _1.increment(**labels) }
      delegate = Struct.new(:to) { def increment(...) = to.increment(...) }
      delegate.new(counter).increment(3, **labels)

      expect(counter.value(**labels)).to eq(10)
      expect(dropped(:wrong_labels)).to eq(0)
    end

    it "may come in a Hash that compares by identity" do
      counter.increment(**{ status: "paid", plan: "pro" }.compare_by_identity)

      expect(counter.value(status: "paid", plan: "pro")).to eq(1)
    end

    it "may be none" do
      bare.increment
      bare.increment(**{})
      bare.with.increment

      expect(bare.value).to eq(3)
    end

    wrong = {
      "one is missing" => [{ status: "paid" }, "missing: plan"],
      "all are missing" => [{}, "missing: status, plan"],
      "one is unknown" => [{ status: "paid", plan: "pro", z: 1 }, "unknown: z"],
      "one is misspelt" => [{ stauts: "paid", plan: "pro" }, "missing: status; unknown: stauts"],
      "one is given as Symbol and as String" => [{ :status => "paid", "status" => "paid", :plan => 1 }, "given twice"],
      "one is no name at all" => [{ status: 1, plan: 2, 3 => 4 }, "unknown: Integer"]
    }

    wrong.each do |name, (given, message)|
      it "are refused when #{name}" do
        lines = logged do
          expect(counter.increment(**given)).to be_nil
          expect(counter.increment(2.5, **given)).to be_nil
        end

        expect(lines.size).to eq(1)
        expect(lines.first).to include("bridge_labels_total takes the labels [status, plan]; ").and include(message)
        expect(dropped(:wrong_labels)).to eq(2)
        expect(values_of(counter)).to be_empty
      end
    end

    it "are refused where there are none to give" do
      lines = logged { bare.increment(status: "paid") }

      expect(lines).to match([/takes the labels \[\]; unknown: status/])
      expect(bare.value).to eq(0)
    end

    it "are refused by what is bound already" do
      bound = counter.with(status: "paid", plan: "pro")
      lines = logged { bound.increment(status: "paid", plan: "pro") }

      expect(lines).to match([/a bound instrument has them already/])
      expect(bound.value).to eq(0)
    end

    it "that are wrong raise in strict mode" do
      configure { |config| config.strict = true }

      %i[increment with value remove].each do |method|
        expect { counter.public_send(method, status: "paid") }
          .to raise_error(TaskerTelemetry::InvalidSample, /missing: plan/), method.to_s
      end
    end

    it "that are wrong make a bound instrument that refuses every sample, so that the loss shows" do
      lines = logged do
        bound = counter.with(status: "paid")
        2.times { bound.increment }
        expect(bound.value).to eq(0)
        expect(bound.remove).to be(false)
      end

      expect(lines).not_to be_empty
      expect(dropped(:wrong_labels)).to eq(2)
    end

    it "that are wrong read as nothing, and lose no sample" do
      logged do
        expect(counter.value(status: "paid")).to eq(0)
        expect(counter.remove(status: "paid")).to be(false)
      end

      expect(dropped(:wrong_labels)).to eq(0)
    end
  end

  describe "a to_s" do
    it "that raises loses the sample, says so, and leaves $! alone" do
      unheard_of = Class.new(Exception) # rubocop:disable Lint/InheritException
      lines = logged do
        begin
          raise "the application's own"
        rescue StandardError
          expect(single.increment(value: to_s_of { raise ArgumentError, "secret" })).to be_nil
          expect($ERROR_INFO).to have_attributes(message: "the application's own")
        end
        single.increment(value: to_s_of { raise NotImplementedError })
        single.increment(value: BasicObject.new)
        single.increment(value: to_s_of { to_s })
        single.increment(value: to_s_of { raise SecurityError })
        single.increment(value: to_s_of { raise unheard_of })
      end

      expect(lines).to match([/a value of label value whose to_s raises ArgumentError/])
      expect(lines.join).not_to include("secret")
      expect(dropped(:invalid_value)).to eq(6)
      expect(values_of(single)).to be_empty
    end

    it "that throws, exits or is interrupted goes through, and loses no sample for a wrong reason" do
      expect(catch(:out) { single.increment(value: to_s_of { throw :out, :thrown }) }).to eq(:thrown)
      expect { single.increment(value: to_s_of { exit(3) }) }.to raise_error(SystemExit)
      expect { single.increment(value: to_s_of { raise Interrupt }) }.to raise_error(Interrupt)
      expect { Timeout.timeout(0.05) { single.increment(value: to_s_of { sleep }) } }.to raise_error(Timeout::Error)

      expect(dropped(:invalid_value)).to eq(0)
    end

    it "whose thread is killed ends the thread" do
      queue = Queue.new
      ended = false
      thread = Thread.new do
        single.increment(value: to_s_of { queue.push(:inside) && sleep })
      ensure
        ended = true
      end
      queue.pop
      thread.kill

      expect(thread.join(10)).to be(thread)
      expect(ended).to be(true)
      single.increment(value: "after")
      expect(values_of(single)).to eq([["after"]])
    end

    it "may record into the same metric" do
      metric = single
      value = to_s_of do
        metric.increment(value: "inner")
        metric.with(value: "inner").increment(2)
        "outer"
      end
      single.increment(5, value: value)

      expect(single.value(value: "inner")).to eq(3)
      expect(single.value(value: "outer")).to eq(5)
    end

    it "may record into the same metric by way of itself" do
      metric = single
      depth = 0
      value = to_s_of do
        depth += 1
        metric.increment(value: self) if depth < 50
        "deep"
      end
      single.increment(value: value)

      expect(single.value(value: "deep")).to eq(50)
    end

    it "may declare, remove, export, collect garbage and compact" do
      metric = single
      value = to_s_of do
        TaskerTelemetry.counter(:bridge_declared_inside_total, "Inner").increment
        metric.clear
        TaskerTelemetry.export(:json)
        GC.start
        GC.compact
        "busy"
      end
      single.increment(value: value)

      expect(single.value(value: "busy")).to eq(1)
    end

    it "may fork" do
      metric = single
      pid = nil
      value = to_s_of do
        pid ||= fork { exit!(0) }
        "forked"
      end
      single.increment(value: value)

      expect(Process.wait2(pid).last).to be_success
      expect(metric.value(value: "forked")).to eq(1)
    end

    it "may go on in a child, which then counts the sample too" do
      TaskerTelemetry.export(:json)
      child = nil
      value = to_s_of do
        child = fork
        "both"
      end
      single.increment(value: value)
      exit!(0) unless child
      Process.wait(child)

      expect(single.value(value: "both")).to eq(2)
    end
  end
end
