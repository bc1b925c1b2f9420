# frozen_string_literal: true

RSpec.describe TaskerTelemetry::MetricsBackend do
  subject(:backend) { described_class.instance }

  before { TaskerTelemetry.reset! }

  it "is the one object behind the module's methods" do
    expect(backend.counter(:backend_spec_total)).to equal(TaskerTelemetry.counter("backend_spec_total"))
    level = TaskerTelemetry.gauge(:backend_spec_level, aggregation: :max)
    expect(backend.gauge(:backend_spec_level, aggregation: :max)).to equal(level)
    expect(backend.histogram(:backend_spec_seconds)).to equal(TaskerTelemetry.histogram(:backend_spec_seconds))
    expect(described_class).not_to respond_to(:new)
  end

  it "gives the same for the same declaration, and raises for another of that name" do
    TaskerTelemetry.counter(:backend_spec_twice_total, "Once", labels: %i[word])
    expect(TaskerTelemetry.counter(:backend_spec_twice_total, "Once", labels: ["word"]))
      .to equal(TaskerTelemetry.counter(:backend_spec_twice_total, "Once", labels: :word))
    expect { TaskerTelemetry.counter(:backend_spec_twice_total, "Once", labels: %i[words]) }
      .to raise_error(TaskerTelemetry::DeclarationError, /backend_spec_twice_total/)
    expect { TaskerTelemetry.gauge(:backend_spec_twice_total) }
      .to raise_error(TaskerTelemetry::DeclarationError, /backend_spec_twice_total/)
  end

  it "raises for a name that breaks the rules, and for an aggregation that there is not" do
    expect { TaskerTelemetry.counter("per cent") }.to raise_error(TaskerTelemetry::DeclarationError, /per cent/)
    expect { TaskerTelemetry.gauge(:backend_spec_mean, aggregation: :mean) }.to raise_error(
      TaskerTelemetry::DeclarationError,
      'aggregation "mean" of metric "backend_spec_mean" is not known; accepted: :last, :sum, :min, :max, :per_process'
    )
  end

  it "raises for words that are no text, and shows them" do
    expect { TaskerTelemetry.counter("backend_\xff") }
      .to raise_error(TaskerTelemetry::DeclarationError, /"backend_\u{FFFD}".*must match/)
    expect { TaskerTelemetry.counter(:backend_spec_words_total, labels: ["\xff"]) }
      .to raise_error(TaskerTelemetry::DeclarationError, /"\u{FFFD}".*backend_spec_words_total/)
    expect { TaskerTelemetry.gauge(:backend_spec_mean, aggregation: "\xff") }
      .to raise_error(TaskerTelemetry::DeclarationError, /aggregation "\u{FFFD}".*accepted/)
    expect(TaskerTelemetry.counter(:backend_spec_help_total, "a\xff").help).to eq("a\u{FFFD}")
  end

  [5, "abc", ["a"], [nil], [[1]], { 1 => 2 }, [1i], (1..), [], [Float::NAN], [1, 1], false].each do |given|
    it "raises for buckets: #{given.inspect}, and names the metric" do
      expect { TaskerTelemetry.histogram(:backend_spec_sizes, buckets: given) }
        .to raise_error(TaskerTelemetry::DeclarationError, /\Abuckets .* of metric "backend_spec_sizes" are not valid:/)
    end
  end

  it "takes numbers of every kind as buckets" do
    expect(TaskerTelemetry.histogram(:backend_spec_numbers, buckets: [1, 2.5, 7r / 2]).buckets).to eq([1.0, 2.5, 3.5])
    expect(TaskerTelemetry.histogram(:backend_spec_range, buckets: 1..3).buckets).to eq([1.0, 2.0, 3.0])
  end

  it "takes no unit for what it is" do
    expect(TaskerTelemetry.gauge(:backend_spec_unitless, unit: "").unit).to be_nil
  end

  it "takes a unit, which the page tells" do
    TaskerTelemetry.counter(:backend_spec_bytes_total, "Sent", unit: :bytes).increment(3)
    expect(backend.export(:openmetrics)).to include("# UNIT backend_spec_bytes bytes\n")
  end

  describe "#export" do
    it "names the formats when it is asked for another" do
      expect { backend.export(:xml) }
        .to raise_error(ArgumentError, /xml.*prometheus.*openmetrics.*json.*csv/m)
    end

    it "names the scopes when it is asked for another" do
      expect { backend.export(:prometheus, scope: :cluster) }
        .to raise_error(ArgumentError, "scope cannot be :cluster; accepted: :machine")
      expect { backend.snapshot(scope: "machine") }.to raise_error(ArgumentError, /"machine"/)
    end

    it "runs the collect blocks first" do
      gauge = TaskerTelemetry.gauge(:backend_spec_depth)
      depth = 0
      TaskerTelemetry.collect { gauge.set(depth += 1) }
      expect(backend.export(:prometheus)).to include("backend_spec_depth 1\n")
      expect(backend.snapshot.to_h.fetch("backend_spec_depth")).to eq({} => 2)
    end
  end

  describe "where metrics are switched off" do
    before { configure { |config| config.metrics.enabled = false } }

    it "records, refuses and collects nothing" do
      configure { |config| config.strict = true }
      counter = TaskerTelemetry.counter(:backend_spec_off_total, labels: %i[word])
      ran = false
      TaskerTelemetry.collect { ran = true }
      expect([counter.increment(word: "a"), counter.increment(wrong: 1), counter.increment(-1, word: "a"),
              counter.with(word: "a").increment("no number"), counter.value(word: "a")]).to eq([nil, nil, nil, nil, 0])
      expect(backend.export(:prometheus)).to eq("")
      expect(ran).to be(false)

      configure { |config| config.metrics.enabled = true }
      expect(TaskerTelemetry.status[:metrics][:dropped].values).to all eq(0)
    end
  end

  describe "#collect" do
    it "needs a block" do
      expect { TaskerTelemetry.collect }.to raise_error(ArgumentError, /needs a block/)
    end
  end

  describe "#snapshot" do
    before do
      TaskerTelemetry.counter(:backend_spec_words_total, "Words", labels: %i[word language])
                     .increment(2, word: "hund", language: "de")
      TaskerTelemetry.histogram(:backend_spec_lengths, "Lengths", buckets: [1, 5]).observe(3)
    end

    def series(name)
      backend.snapshot.find { |series| series.name == name }
    end

    it "is an Enumerable of series" do
      snapshot = backend.snapshot
      expect(snapshot).to be_a(Enumerable).and all(be_a(TaskerTelemetry::Series))
      expect(snapshot.each.size).to eq(snapshot.count)
      expect(snapshot.superseded).to eq([])
    end

    it "has of each series the name, kind, help, labels, value and beginning" do
      expect(series("backend_spec_words_total")).to be_frozen.and have_attributes(
        kind: :counter, help: "Words", labels: { word: "hund", language: "de" }, value: 2, superseded?: false,
        created_at: be_within(60).of(Time.now)
      )
      expect([series("backend_spec_words_total").labels, series("backend_spec_lengths").value]).to all be_frozen
    end

    it "has histograms whole" do
      expect(series("backend_spec_lengths").value)
        .to eq(count: 1, sum: 3.0, buckets: { 1.0 => 0, 5.0 => 1, Float::INFINITY => 1 })
    end

    it "becomes a Hash, and so does each series" do
      expect(series("backend_spec_words_total").to_h).to eq(
        name: "backend_spec_words_total", kind: :counter, labels: { word: "hund", language: "de" }, value: 2
      )
      expect(backend.snapshot.to_h.fetch("backend_spec_words_total")).to eq({ word: "hund", language: "de" } => 2)
    end
  end

  describe "#stats" do
    it "tells of the registry, the arena and the collect blocks" do
      TaskerTelemetry.collect { nil }
      expect(backend.stats).to include(collect: include(include(location: /metrics_backend_spec.rb:\d+/)))
      expect(TaskerTelemetry.status).to include(version: TaskerTelemetry::VERSION, environment: "test", strict: false,
                                                metrics: be_a(Hash), endpoint: { path: nil, protected_by: [] })
    end

    it "holds no secret" do
      configure do |config|
        config.endpoint.token = "hunter2"
        config.endpoint.username = "prometheus"
        config.endpoint.password = "swordfish"
      end
      expect(TaskerTelemetry.status.inspect).not_to match(/hunter2|swordfish/)
      expect(TaskerTelemetry.status[:endpoint]).to eq(path: nil, protected_by: %i[token basic])
    end
  end

  describe "#clear!" do
    it "forgets samples and keeps declarations" do
      counter = TaskerTelemetry.counter(:backend_spec_cleared_total)
      counter.increment(5)
      expect(backend.clear!).to be_positive
      expect(counter.value).to eq(0)
      counter.increment
      expect([counter.value, TaskerTelemetry.counter(:backend_spec_cleared_total)]).to eq([1, counter])
    end
  end

  describe "#instance_id" do
    it "is the arena's, so the same in every process that counts into it" do
      TaskerTelemetry.counter(:backend_spec_identity_total).increment
      reader, writer = IO.pipe
      pid = fork do
        writer.write(backend.instance_id)
        exit!(0)
      end
      Process.wait(pid)
      writer.close
      expect(reader.read).to eq(backend.instance_id).and match(/\A\h+\z/)
    end
  end
end
