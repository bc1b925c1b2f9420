# frozen_string_literal: true

RSpec.describe TaskerTelemetry::Instrumentation do
  it "installs what it is asked for, and names what there is when asked for anything else" do
    expect { described_class.install(:active_recrod) }
      .to raise_error(ArgumentError, /no instrumentation: \[:active_recrod\]; accepted: .*:active_record/)
  end

  it "does nothing where no library is loaded, and something once one is" do
    outcome = run_ruby(<<~'RUBY', env: { "RACK_ENV" => "test" })
      require "tasker_telemetry"
      TaskerTelemetry::Instrumentation.install
      before = TaskerTelemetry.snapshot.map(&:name)
      require "active_support"
      require "active_support/cache"
      2.times { TaskerTelemetry::Instrumentation.install }
      ActiveSupport::Cache::MemoryStore.new.read("a")
      p before.grep(/cache|job|sql/), TaskerTelemetry.snapshot.to_h["cache_operations_total"].values
    RUBY
    expect(outcome.out).to eq("[]\n[1]\n"), outcome.to_s
  end

  it "keeps its failures from the application: they are counted and logged" do
    outcome = run_ruby(<<~'RUBY', env: { "RACK_ENV" => "test" })
      require "active_support"
      require "active_support/cache"
      require "tasker_telemetry"
      TaskerTelemetry::Instrumentation.install(:cache)
      3.times do
        ActiveSupport::Notifications.instrument("cache_read.active_support", store: "S", hits: nil, key: "a") { puts "here" }
      end
      puts TaskerTelemetry.export(:prometheus).lines.grep(/^tasker_telemetry_instrumentation/)
    RUBY
    expect(outcome.out)
      .to eq(%(#{"here\n" * 3}tasker_telemetry_instrumentation_errors_total{instrumentation="cache"} 3\n)), outcome.to_s
    expect(outcome.err.lines.grep(/cache could not be counted: NoMethodError/).size).to eq(1)
  end

  it "has traces go along with jobs where there is no Rails" do
    FaultyCollector.open do |collector|
      env = { "RACK_ENV" => "test", "OTEL_EXPORTER_OTLP_ENDPOINT" => collector.endpoint }
      outcome = run_ruby(<<~'RUBY', env:)
        require "active_job"
        require "tasker_telemetry"
        TaskerTelemetry.configure { |config| config.traces.enabled = true }
        TaskerTelemetry::Instrumentation.install
        ActiveJob::Base.queue_adapter = :inline
        ActiveJob::Base.logger = nil
        class ShipJob < ActiveJob::Base
          def perform = nil
        end
        TaskerTelemetry.span("checkout") { ShipJob.perform_later }
        p TaskerTelemetry.flush
      RUBY
      expect(outcome.out).to eq("true\n"), outcome.to_s
      expect(Otlp::Trace.of(collector.spans).values.map(&:outline)).to eq([<<~TEXT])
        checkout
          ShipJob publish
            ShipJob process
      TEXT
    end
  end

  it "goes on when another subscriber raises at the beginning of an event" do
    outcome = run_ruby(<<~'RUBY', env: { "RACK_ENV" => "test" })
      require "active_support"
      require "active_support/cache"
      require "tasker_telemetry"
      TaskerTelemetry::Instrumentation.install(:cache)
      raises = Class.new do
        def start(*) = raise("on purpose")
        def finish(*) = nil
      end
      store = ActiveSupport::Cache::MemoryStore.new
      subscriber = ActiveSupport::Notifications.subscribe("cache_read.active_support", raises.new)
      500.times { store.read("a") rescue nil }
      ActiveSupport::Notifications.unsubscribe(subscriber)
      7.times { store.read("a") }
      p TaskerTelemetry.snapshot.to_h["cache_operations_total"].values, Thread.current[:tasker_telemetry_instrumented].size < 300
    RUBY
    expect(outcome.out).to match(/\A\[(7|507)\]\ntrue\n\z/), outcome.to_s
  end

  describe "in a Rails application" do
    around { |example| Application.open { |application| (@application = application) && example.run } }

    it "reaches no application that has the name already, or makes a label of ours a default: that is said" do
      File.write("#{@application.directory}/config/initializers/zz_mine.rb", <<~RUBY)
        TaskerTelemetry.counter(:cache_operations_total, "Mine", labels: %i[mine]).increment(mine: "yes")
        TaskerTelemetry.configure { |config| config.metrics.default_labels = { service: "shop" } }
      RUBY
      code = 'ActiveSupport::Cache::MemoryStore.new.read("a")'
      env = { "LIBRARIES" => "active_record/railtie active_storage/engine", "LOG_LEVEL" => "error" }
      outcome = @application.boot("#{code}\n#{Counted::TELL}", env: env)
      totals = JSON.parse(outcome.out[/^counted (.*)/, 1] || raise(outcome.to_s))
      expect(totals["cache_operations_total"]).to eq("yes" => 1)
      expect(outcome.err).to include("cache is not counted").and include("active_storage is not counted")
    end

    it "may be switched off by an application that meets the gem in an initializer" do
      totals = counted(@application, <<~RUBY, env: { "LATE" => "1", "SWITCHED_OFF" => "rack active_job" })
        require "rack/mock"
        Rack::MockRequest.new(Rails.application).get("/index")
        WorkJob.perform_now("good")
        ActiveSupport::Cache::MemoryStore.new.read("a")
      RUBY
      expect(totals).to include("cache_operations_total")
      expect(totals.keys.grep(/http_requests|job/)).to be_empty
    end

    it "counts no requests when rack is switched off" do
      totals = counted(@application, 'require "rack/mock"; Rack::MockRequest.new(Rails.application).get("/index")',
                       env: { "SWITCHED_OFF" => "rack" })
      expect(totals.keys.grep(/http_requests/)).to be_empty
    end
  end
end
