# frozen_string_literal: true

RSpec.describe TaskerTelemetry, ".configure" do
  it "keeps what earlier blocks set" do
    configure { |config| config.metrics.max_series = 50 }
    configure { |config| config.metrics.idle_expiry = 60 }
    expect(described_class.config.metrics).to have_attributes(max_series: 50, idle_expiry: 60.0)
  end

  it "gives the frozen configuration" do
    expect(configure { |config| config.strict = true }).to be_frozen.and equal(described_class.config)
  end

  it "changes nothing when the block raises" do
    expect do
      configure do |config|
        config.metrics.max_series = 50
        raise "on second thought"
      end
    end.to raise_error("on second thought")
    expect(described_class.config.metrics.max_series).to eq(10_000)
  end

  it "changes nothing when the native side refuses" do
    described_class.counter(:configure_spec_total).increment
    before = described_class.config
    expect { configure { |config| config.service_name = "another" } }
      .to raise_error(TaskerTelemetry::ConfigurationError, /service/)
    expect { configure { |config| config.metrics.default_labels = { "9" => "a" } } }
      .to raise_error(TaskerTelemetry::ConfigurationError, /9/)
    expect(described_class.config).to equal(before)
  end

  { "metric" => /overflow_samples/, "block" => /collect_/, "outcome" => /collect_/ }.each do |label, metric|
    # In a process of its own: where events made metrics before, one of those is named.
    it "refuses #{label} as a default label, since a metric of the gem's own declares it" do
      outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" })
        require "tasker_telemetry"
        begin
          TaskerTelemetry.configure { |config| config.metrics.default_labels = { #{label.inspect} => "x" } }
        rescue TaskerTelemetry::ConfigurationError => e
          puts e.message
        end
      RUBY
      expect(outcome.out).to match(/default_labels cannot have "#{label}": .*#{metric}/), outcome.to_s
    end
  end

  it "refuses a prefix that makes a metric one of the gem's own" do
    outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" })
      require "tasker_telemetry"
      TaskerTelemetry.gauge(:threads, "Of a pool")
      begin
        TaskerTelemetry.configure { |config| config.metrics.prefix = "process" }
      rescue TaskerTelemetry::ConfigurationError => e
        puts e.message
      end
      TaskerTelemetry.configure { |config| config.metrics.prefix = "tasker" }
      TaskerTelemetry.gauge(:telemetry_processes)
    RUBY
    expect(outcome.out).to match(/\Aconfig.metrics.prefix cannot be "process": .*"process_threads"/)
    expect(outcome.err).to match(/"tasker_telemetry_processes" is not valid: .*\(TaskerTelemetry::DeclarationError\)/)
  end

  %w[arena prefix service_name environment].each do |option|
    it "fixes #{option} with the first sample, and not with a declaration" do
      outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" })
        require "tasker_telemetry"
        counter = TaskerTelemetry.counter(:early_total, "Declared before")
        set = lambda do |value|
          TaskerTelemetry.configure { |config| (config.respond_to?(:#{option}) ? config : config.metrics).#{option} = value }
        end
        values = %w[#{option == "arena" ? "/tmp/none/a /tmp/none/b" : "one two"}]
        set.call(values[0])
        set.call(nil)
        counter.increment
        begin
          set.call(values[1])
        rescue TaskerTelemetry::ConfigurationError => e
          print e.message
        end
      RUBY
      expect(outcome).to be_success, outcome.to_s
      expect(outcome.out).to match(/#{option.delete_suffix("_name")}.*first sample/)
    end
  end

  it "applies to what was declared before" do
    outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" })
      require "tasker_telemetry"
      counter = TaskerTelemetry.counter(:orders_total, "Orders")
      TaskerTelemetry.configure do |config|
        config.metrics.prefix = "shop"
        config.metrics.default_labels = { region: "eu" }
      end
      counter.increment
      puts TaskerTelemetry.export(:prometheus)[/^shop_orders_total.*/]
    RUBY
    expect(outcome.out).to eq(%(shop_orders_total{region="eu"} 1\n)), outcome.to_s
  end

  it "may be missing while the environment says what cannot be: events go on, and become nothing until it is made" do
    outcome = run_ruby(<<~'RUBY', env: { "RACK_ENV" => "test", "OTEL_SERVICE_NAME" => "two\nlines" })
      require "tasker_telemetry"
      2.times { p TaskerTelemetry.instrument("told", {}) { :ran } }
      p TaskerTelemetry::MetricsBackend.instance.handle_event("task.failed", task_id: 1)
      begin
        TaskerTelemetry.configure
      rescue TaskerTelemetry::ConfigurationError
        puts "still"
      end
      ENV.delete("OTEL_SERVICE_NAME")
      TaskerTelemetry.configure { |config| config.metrics.arena = :memory }
      p TaskerTelemetry::MetricsBackend.instance.handle_event("task.failed", task_id: 1)
    RUBY
    expect(outcome.out).to eq(":ran\n:ran\nfalse\nstill\ntrue\n"), outcome.to_s
    expect(outcome.err.scan(/become nothing until .*service_name/).size).to eq(1)
  end
end
