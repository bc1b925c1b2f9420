# frozen_string_literal: true

require "json"
require "logger"
require "stringio"
require "timeout"
require "tmpdir"

RSpec.describe "Events" do
  events = TaskerTelemetry.events

  before { TaskerTelemetry.reset! }

  after { events.reset! }

  # What a counter holds, summed up over its labels.
  def total(name)
    TaskerTelemetry.snapshot.to_h.fetch(name, {}).values.sum { |value| value.is_a?(Hash) ? value[:count] : value }
  end

  def series(name)
    TaskerTelemetry.snapshot.to_h.fetch(name, {})
  end

  describe "of the catalogue, of which one transition is published three times" do
    # They happen as often as they are published.
    repeated = %w[database.query_executed batch.step_execution memory.spike_detected performance.slow_operation]
    program = File.expand_path("../fixtures/events/transitions.rb", __dir__)

    around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

    define_method(:transitions) do |bus, indices|
      environment = { "RUBYLIB" => File.join(RubyProcess::ROOT, "lib") }
      IO.popen([environment, RbConfig.ruby, program, bus, "#{@directory}/arena", indices], "r+")
    end

    def outcome(*processes)
      expect(processes.map(&:gets)).to all eq("ready\n")
      processes.each { |io| io.puts("go") }
      processes.map { |io| JSON.parse(io.read).tap { io.close } }
    end

    # Of what is a transition, what differs from one; what ended took its time.
    define_method(:wrong) do |counts|
      counts.except(*repeated).map { |name, metrics| [name, told(name, metrics).reject { |_, count| count == 1 }] }
            .reject { |_, metrics| metrics.empty? }
    end

    # Of the metrics of an event those in which it counts, whichever of its payloads comes first: what has not ended is
    # as long as the first one says.
    def told(name, metrics)
      @ends ||= TaskerTelemetry.events.catalogue.filter_map { |event| event[:name] if event[:kind] == "end" }
      @ends.include?(name) ? metrics : metrics.select { |metric, _| metric.end_with?("_total") }
    end

    %w[active_support own publisher].each do |bus|
      it "count once, through #{bus.tr("_", " ")}" do
        counts = outcome(transitions(bus, "012")).first
        expect(counts["bus"]).to eq(bus == "active_support" ? "Module" : "TaskerTelemetry::Notifications::Bus")
        expect(counts["each"].size).to be > 45
        expect(wrong(counts["each"])).to be_empty
      end
    end

    it "count once from three processes, one after the other and at once" do
      %w[0 1 2].each { |index| outcome(transitions("own", index)) }
      expect(one_each(outcome(transitions("own", "")).first["totals"])).to be_empty
      File.unlink("#{@directory}/arena")
      outcome(*%w[0 1 2].map { |index| transitions("own", index) })
      expect(one_each(outcome(transitions("own", "")).first["totals"])).to be_empty
    end

    # Metrics that hold something else than one for each event that they are made of.
    define_method(:one_each) do |totals|
      parts = totals.except(*repeated).map { |name, metrics| told(name, metrics) }
      parts.reduce(:merge).reject { |metric, count| count == parts.count { |metrics| metrics.key?(metric) } }
    end
  end

  it "count two failures and one retry of a task and of a step that nobody numbers" do
    { "task" => { task_id: "t" }, "step" => { task_id: "t", step_id: "s" } }.each do |what, ids|
      %w[start failed failed retry failed failed failed].each do |which|
        name = { "start" => what == "task" ? "start_requested" : "execution_requested", "failed" => "failed",
                 "retry" => "retry_requested" }.fetch(which)
        TaskerTelemetry.instrument("#{what}.#{name}", ids)
      end
      expect([total("#{what}_started_total"), total("#{what}_failed_total"), total("#{what}_retried_total")])
        .to eq([1, 2, 1])
      # Nobody told when the second attempt began.
      expect(total("#{what}_duration_seconds")).to eq(1)
    end
  end

  it "are told once to whoever subscribed how often" do
    publisher = EventPublisher.new("events.told")
    events.map("events.told", backends: :metrics)
    3.times do
      TaskerTelemetry::TelemetrySubscriber.attach
      events.listen_to(publisher)
      TaskerTelemetry::TelemetrySubscriber.subscribe(publisher, %w[events.told])
    end
    publisher.publish("events.told")
    expect(total("events_told_total")).to eq(1)
    TaskerTelemetry.instrument("events.told")
    expect(total("events_told_total")).to eq(2)
  end

  describe "that are sampled" do
    it "are kept by their share, the same ones in metrics, traces and logs" do
      log = StringIO.new
      Collector.open do |collector|
        configure do |config|
          config.metrics.max_series = 20_000
          config.traces.enabled = true
          config.traces.endpoint = collector.http_endpoint
          config.traces.queue_size = 20_000
          config.logs.enabled = true
          config.logger = Logger.new(log, formatter: ->(_, _, _, line) { "#{line}\n" })
        end
        events.map("events.sampled", backends: %i[metrics traces logs], sample: 0.1, labels: :number)
        100_000.times { |number| TaskerTelemetry.instrument("events.sampled", number: number) }
        expect(TaskerTelemetry.flush(timeout: 20)).to be(true)

        counted = series("events_sampled_total").transform_keys { |labels| labels[:number].to_i }
        expect(counted.values).to all eq(1)
        expect(counted.size).to be_between(9_000, 11_000)
        logged = log.string.lines.map { |line| JSON.parse(line)["payload"]["number"] }
        expect(logged.sort).to eq(counted.keys.sort)
        spans = collector.await_spans(counted.size)
        expect(spans.map { |span| span.attributes["number"] }.sort).to eq(counted.keys.sort)
      end
    end

    it "are all kept when they are critical, whatever the share, and in an unsampled trace too" do
      Collector.open do |collector|
        configure do |config|
          config.traces.enabled = true
          config.traces.endpoint = collector.http_endpoint
          config.traces.sample_ratio = 0
        end
        events.map("events.critical", backends: %i[metrics traces], sample: 0, priority: :critical)
        events.map("events.usual", backends: %i[metrics traces])
        200.times do
          TaskerTelemetry.instrument("events.critical")
          TaskerTelemetry.instrument("events.usual")
        end
        expect(total("events_critical_total")).to eq(200)
        expect(total("events_usual_total")).to eq(200)
        TaskerTelemetry.flush
        collector.drain
        expect(collector.spans.map(&:name)).to eq(["events.critical"] * 200)
        expect(collector.spans.map { |span| span.attributes["tasker_telemetry.unsampled_trace"] }).to all be(true)
      end
    end
  end

  describe "that are mapped" do
    it "are all counted while they are mapped anew, by one thread for others" do
      events.map("events.load", backends: :metrics)
      stop = false
      mapper = Thread.new do
        (0..).each do |turn|
          break turn if stop

          events.map("events.load", backends: %i[metrics logs].first(1 + (turn % 2)), labels: turn.odd? ? [:kind] : [])
          events.map("events.*", backends: :logs)
          events.map("other.#{turn % 50}", backends: :metrics)
          events.unmap("events.*")
        end
      end
      publishers = Array.new(4) do |number|
        Thread.new { 5_000.times { TaskerTelemetry.instrument("events.load", kind: number) } }
      end
      publishers.each(&:join)
      stop = true
      expect(mapper.value).to be > 10
      expect(total("events_load_total")).to eq(4 * 5_000)
    end

    it "go where the newest and most specific mapping says" do
      events.map("events.a.*", backends: :metrics)
      events.map("*.failed", backends: :logs)
      expect(events.mapping_for("events.a.b")).to include(pattern: "events.a.*", backends: ["metrics"])
      events.map("events.a.b", backends: :metric, enabled: false)
      TaskerTelemetry.instrument("events.a.b")
      expect(total("events_a_b_total")).to eq(0)
      events.map("events.a.b", backends: :metric)
      TaskerTelemetry.instrument("events.a.b")
      expect(total("events_a_b_total")).to eq(1)
      expect(events.unmap("events.a.b")).to be(true)
      expect(events.unmap("events.a.b")).to be(false)
      TaskerTelemetry.instrument("events.a.b")
      expect(total("events_a_b_total")).to eq(2)
    end

    it "are refused with what is accepted" do
      {
        { backends: :metrcis } => /metrcis.*metrics, traces, logs/,
        { backends: [] } => /backends.*metrics, traces, logs/,
        { backends: :metrics, sample: 1.5 } => /sample.*1\.5.*0 to 1/,
        { backends: :metrics, sample: Float::NAN } => /sample.*NaN.*0 to 1/,
        { backends: :metrics, sample: "0.5" } => /sample.*"0\.5".*0 to 1/,
        { backends: :metrics, sample: nil } => /sample.*nil.*0 to 1/,
        { backends: :metrics, sample: Complex(1, 1) } => /sample.*0 to 1/,
        { backends: :metrics, priority: :urgent } => /urgent.*low, normal, high,? (and|or)?\s?critical/,
        { backends: :metrics, labels: { status: { limit: -1 } } } => /status.*limit/,
        { backends: :metrics, labels: { status: { limti: 1 } } } => /status.*limti.*as:.*limit:/,
        { backends: :metrics, labels: "not a name" } => /not a name/
      }.each do |options, message|
        expect { events.map("events.bad", **options) }.to raise_error(TaskerTelemetry::ConfigurationError, message)
      end
      expect { events.map("", backends: :metrics) }.to raise_error(TaskerTelemetry::ConfigurationError)
      expect(events.mappings).to be_empty
    end

    it "rename their labels, and limit what stands in them" do
      events.map("events.labels", backends: :metrics,
                                  labels: [{ status: :state, plan: { as: :tier, limit: 2 } }, :region])
      %w[free pro team gold].each do |plan|
        TaskerTelemetry.instrument("events.labels", status: :open, plan: plan, region: nil)
      end
      expect(series("events_labels_total")).to eq(
        { state: "open", tier: "free", region: "" } => 1, { state: "open", tier: "pro", region: "" } => 1,
        { state: "open", tier: "__other__", region: "" } => 2
      )
    end

    it "stay bounded with 10 000 values of a label, by its limit and by the metric's" do
      configure { |config| config.metrics.max_series = 100 }
      events.map("events.limited", backends: :metrics, labels: { id: { limit: 50 } })
      events.map("events.unlimited", backends: :metrics, labels: :id)
      10_000.times do |id|
        TaskerTelemetry.instrument("events.limited", id: id)
        TaskerTelemetry.instrument("events.unlimited", id: id)
      end
      limited = series("events_limited_total")
      expect([limited.size, limited[{ id: "__other__" }]]).to eq([51, 9_950])
      expect(series("events_unlimited_total").size).to be_between(100, 101)
      expect(total("events_unlimited_total")).to eq(10_000)
    end
  end

  describe "of one's own" do
    it "are listed when they are registered, and work" do
      events.register("events.shipped", description: "An order left", payload: %i[order_id carrier])
      expect(events.catalogue).to include(
        include(name: "events.shipped", description: "An order left", payload_keys: %w[order_id carrier], custom: true,
                backends: %w[metrics traces])
      )
      Collector.open do |collector|
        configure do |config|
          config.traces.enabled = true
          config.traces.endpoint = collector.http_endpoint
        end
        TaskerTelemetry.instrument("events.shipped", order_id: 7, duration: 2) { nil }
        TaskerTelemetry.flush
        expect(collector.await_spans(1).first).to have_attributes(
          name: "events.shipped", duration: be_within(1e-6).of(2), attributes: include("order_id" => 7)
        )
      end
      expect(total("events_shipped_total")).to eq(1)
      expect(series("events_shipped_duration_seconds").values).to match([include(count: 1, sum: be_within(1e-6).of(2))])
    end

    it "cannot have a name of the catalogue's, or one that is none" do
      ["task.completed", "", "events.*"].each do |name|
        expect { events.register(name) }.to raise_error(TaskerTelemetry::ConfigurationError), name
      end
      expect(events.catalogue.count { |event| event[:custom] }).to eq(0)
    end
  end

  describe "handed to MetricsBackend#handle_event" do
    let(:backend) { TaskerTelemetry::MetricsBackend.instance }

    it "are answered for" do
      events.map("events.handled", backends: :metrics)
      events.map("events.off", backends: :metrics, enabled: false)
      events.map("events.none", backends: :metrics, sample: 0)
      expect(backend.handle_event("events.handled", a: 1)).to be(true)
      expect(backend.handle_event(:"events.handled")).to be(true)
      expect(%w[events.unknown events.off events.none].map { |name| backend.handle_event(name, {}) }).to all be(false)
      expect(total("events_handled_total")).to eq(2)
      # The same transition again is nothing new.
      expect(Array.new(2) { backend.handle_event("task.completed", "task_id" => 1) }).to eq([true, false])
      expect(total("task_completed_total")).to eq(1)
    end

    it "may have whatever for a payload" do
      events.map("events.whatever", backends: %i[metrics traces logs])
      whatever = [nil, 7, "text", [1].freeze, Object.new, BasicObject.new]
      expect(whatever.map { |payload| backend.handle_event("events.whatever", payload) }).to all be(true)
      whatever.each { |payload| TaskerTelemetry.instrument("events.whatever", payload) }
      expect(total("events_whatever_total")).to eq(2 * whatever.size)
      whatever.each do |payload|
        expect { TaskerTelemetry.instrument("events.whatever", payload) { raise IOError, "own" } }
          .to raise_error(IOError, "own")
      end
      expect(total("events_whatever_total")).to eq(3 * whatever.size)
    end
  end

  describe "with payloads that are hard to read", :collector do
    let(:log) { StringIO.new }

    before do
      configure do |config|
        config.traces.enabled = true
        config.traces.endpoint = @collector.http_endpoint
        config.logs.enabled = true
        config.logger = Logger.new(log, formatter: ->(_, _, _, line) { "#{line}\n" })
      end
      events.map("events.odd", backends: %i[metrics traces logs], labels: :value)
    end

    def self.cyclic
      { list: [1] }.tap { |hash| hash[:list].push(hash, hash[:list]) }
    end

    def self.loud(method)
      Class.new { define_method(method) { |*| raise NotImplementedError, "not told" } }.new
    end

    {
      "a cycle" => cyclic,
      "10 MB of text" => "x" * 10_000_000,
      "10 MB of é, cut in a character" => "a#{"é" * 5_000_000}",
      "a million entries" => Array.new(1_000_000) { |number| number },
      "100 000 keys" => Array.new(100_000) { |number| [number, "x"] }.to_h,
      "depth" => (1..10_000).reduce([]) { |inner, _| [inner] },
      "binary" => "\x00\xff\xfe".b * 1000,
      "text that is none" => "caf\xe9",
      "UTF-16" => "caf\u{e9}".encode("UTF-16LE"),
      "a frozen structure" => { "a" => ["b"].freeze }.freeze,
      "a to_s that raises" => loud(:to_s),
      "an inspect that raises" => loud(:inspect),
      "a to_s that is no text" => Class.new { def to_s = nil }.new,
      "no object at all" => BasicObject.new,
      "NaN" => Float::NAN,
      "infinity" => -Float::INFINITY,
      "more than 64 bits" => 2**4096,
      "a fraction" => Rational(1, 3),
      "a time that never comes" => Time.at(2**60),
      "a class" => Class.new,
      "a Struct" => Struct.new(:a).new(Object.new),
      "a keyless object" => Object.new,
      "loud elements" => { list: [loud(:to_s)], loud(:to_s) => 1 },
      "nil keys" => { nil => 1, 2 => 3, "" => 4 }
    }.each do |what, value|
      it "take #{what}" do
        text = value.dup if String === value # rubocop:disable Style/CaseEquality -- it may be a BasicObject
        TaskerTelemetry.instrument("events.odd", value: value)
        TaskerTelemetry.instrument("events.odd", { "value" => value }.freeze)
        TaskerTelemetry.instrument("task.failed", task_id: value, error_message: value, started_at: value)
        TaskerTelemetry.span("around", { value: value }) { |span| span["value"] = value }
        expect(value).to eq(text) if text

        expect(total("events_odd_total")).to eq(2)
        expect(total("task_failed_total")).to eq(1)
        TaskerTelemetry.flush
        spans = @collector.await_spans(4)
        names = spans.map { |span| span.name[/[a-z.]+/] }
        expect(names).to contain_exactly("events.odd", "events.odd", "task", "around")
        expect(spans.map { |span| span.to_a.inspect.bytesize }).to all be < 80_000
        expect(log.string.lines).to have_attributes(size: 2)
        expect(log.string.lines.map(&:bytesize)).to all be < 80_000
        expect(log.string.lines.map { |line| JSON.parse(line)["event"] }).to all eq("events.odd")
        expect(TaskerTelemetry.export(:openmetrics).bytesize).to be < 100_000
      end
    end

    it "take 10 000 keys, of which a span has a bounded number" do
      payload = Array.new(10_000) { |number| [:"key#{number}", number] }.to_h
      TaskerTelemetry.instrument("events.odd", payload)
      TaskerTelemetry.flush
      expect(@collector.await_spans(1).first.attributes.size).to eq(128)
      expect(log.string.bytesize).to be < 80_000
    end

    it "take what changes while it is read" do
      payload = { value: 1 }
      payload[:changing] = Class.new { define_method(:to_s) { payload.clear.to_s * 2 } }.new
      payload[:list] = [1, Class.new { define_method(:to_s) { payload.delete(:list)&.clear.to_s } }.new, 3]
      2.times { TaskerTelemetry.instrument("events.odd", payload) }
      publishing = Class.new { def to_s = TaskerTelemetry.instrument("events.odd", value: "inner") { "published" } }.new
      expect(TaskerTelemetry.instrument("events.odd", value: publishing) { 7 }).to eq(7)
      expect(total("events_odd_total")).to be >= 4
    end

    # What is meant for the thread gets to it, and leaves nothing behind.
    {
      "killed" => -> { Thread.current.kill },
      "thrown" => -> { throw :out, :thrown },
      "timed out" => -> { sleep },
      "exited" => -> { Thread.exit }
    }.each do |how, leave|
      it "let a thread go that is #{how} in the middle" do
        leaving = Class.new { define_method(:to_s) { leave.call } }.new
        thread = Thread.new do
          catch(:out) { Timeout.timeout(0.2) { TaskerTelemetry.instrument("events.odd", value: leaving) { :done } } }
        rescue Timeout::Error
          :timed_out
        end
        expect(thread.join(10)&.value).to eq({ "thrown" => :thrown, "timed out" => :timed_out }[how])

        expect(TaskerTelemetry.current_trace).to be_nil
        expect(TaskerTelemetry.instrument("events.odd", value: 1) { TaskerTelemetry.current_trace }).not_to be_nil
        expect(TaskerTelemetry.current_trace).to be_nil
        expect(series("events_odd_total")[{ value: "1" }]).to eq(1)
        expect(TaskerTelemetry.flush).to be(true)
      end
    end
  end
end
