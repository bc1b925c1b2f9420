# frozen_string_literal: true

require "stringio"

RSpec.describe TaskerTelemetry::Log do
  let(:log) { StringIO.new }
  let(:counter) { TaskerTelemetry.counter(:log_spec_total, "Samples of this specification", labels: %i[word]) }

  before do
    configure { |config| config.logger = Logger.new(log) }
    described_class.reset
  end

  it "says once what happens often, and how often it went unsaid" do
    clock = 100.0
    allow(Process).to(receive(:clock_gettime).and_wrap_original { |_, *| clock })
    1000.times { described_class.limited(:matter) { "again" } }
    expect(log.string.lines.size).to eq(1)
    clock += described_class::INTERVAL
    described_class.limited(:matter) { "again" }
    expect(log.string.lines.last).to include("again (and 999 more since the last such line)")
  end

  it "keeps matters apart" do
    %i[one other].each { |matter| described_class.limited(matter) { matter.to_s } }
    expect(log.string.lines.size).to eq(2)
  end

  it "logs a rejected sample with the metric's name, once per reason" do
    3.times { counter.increment(ward: "x") }
    expect(log.string.lines.size).to eq(1)
    expect(log.string).to include("log_spec_total").and include("WARN")
    counter.increment(-1, word: "x")
    expect(log.string.lines.size).to eq(2)
  end

  it "raises a rejected sample with config.strict, and logs nothing" do
    configure { |config| config.strict = true }
    expect { counter.increment(ward: "x") }.to raise_error(TaskerTelemetry::InvalidSample, /log_spec_total/)
    expect(log.string).to eq("")
  end

  [RuntimeError, NotImplementedError, SystemStackError, Class.new(Exception)].each do |error| # rubocop:disable Lint/InheritException
    it "survives a logger that raises #{error.ancestors.find(&:name)}" do
      broken = Object.new
      %i[warn error].each { |level| broken.define_singleton_method(level) { |_| raise error, "no room on the disk" } }
      configure { |config| config.logger = broken }
      expect { counter.increment(ward: "x") }.not_to raise_error
      expect { counter.increment(-1, word: "x") }.not_to raise_error
    end
  end

  it "keeps nobody from leaving the process" do
    leaving = Object.new
    %i[warn error].each { |level| leaving.define_singleton_method(level) { |_| exit(7) } }
    configure { |config| config.logger = leaving }
    expect { described_class.warn("now or never") }.to raise_error(SystemExit)
  end

  it "does not go round in circles with a logger that counts wrongly" do
    circular = Object.new
    spec = self
    circular.define_singleton_method(:warn) { |_| spec.counter.increment(ward: "x") }
    %i[error].each { |level| circular.define_singleton_method(level) { |_| nil } }
    configure { |config| config.logger = circular }
    expect { counter.increment(ward: "x") }.not_to raise_error
  end

  it "may be needed in a trap handler" do
    outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" })
      require "tasker_telemetry"
      COUNTER = TaskerTelemetry.counter(:trapped_total, "Signals", labels: %i[signal])
      trap("USR1") do
        COUNTER.increment(signal: "USR1")
        COUNTER.increment(wrong: "USR1")
      end
      Process.kill("USR1", Process.pid)
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 5
      Thread.pass until COUNTER.value(signal: "USR1") == 1 || Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      puts COUNTER.value(signal: "USR1")
    RUBY
    expect(outcome).to be_success, outcome.to_s
    expect(outcome.out).to eq("1\n")
  end

  it "writes to standard error where nothing else is set" do
    outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" })
      require "tasker_telemetry"
      TaskerTelemetry.counter(:words_total).increment(unknown: 1)
    RUBY
    expect(outcome.err).to match(/WARN.*tasker_telemetry: .*words_total/)
    expect(outcome.out).to eq("")
  end

  it "says what the native side noticed, after a scrape" do
    allow(TaskerTelemetry::Native).to receive(:take_notices).and_return([[:error, "the arena was replaced"]], [])
    TaskerTelemetry.export(:prometheus)
    expect(log.string).to match(/ERROR.*tasker_telemetry: the arena was replaced/)
  end
end
