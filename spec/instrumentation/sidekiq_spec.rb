# frozen_string_literal: true

require "tmpdir"

RSpec.describe "The instrumentation of Sidekiq" do
  around { |example| RedisServer.open { |redis| (@redis = redis) && example.run } }

  after { @sidekiq&.stop }

  describe "without Rails" do
    around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

    program = <<~'RUBY'
      require "json"
      require "sidekiq"
      require "tasker_telemetry"

      TaskerTelemetry.configure do |config|
        config.metrics.arena = File.expand_path("arena")
        config.instrumentation.interval = 0.1
      end
      Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch("REDIS_URL") } }
      Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("REDIS_URL") } }
      TaskerTelemetry::Instrumentation.install

      class PlainJob
        include Sidekiq::Worker

        def perform(fate = "good")
          raise "on purpose" if fate == "bad"

          sleep 0.01 until File.exist?("go_on") if fate == "waiting"
        end
      end

      class HopelessJob
        include Sidekiq::Worker
        sidekiq_options queue: "hopeless", retry: 0

        def perform = raise("on purpose")
      end
    RUBY

    before { File.write("#{@directory}/program.rb", program) }

    let(:env) { { "REDIS_URL" => @redis.url, "RACK_ENV" => "production", "RAILS_ENV" => nil } }

    def run_program(code)
      outcome = run_ruby("require './program'\n#{code}\n#{Counted::TELL}", chdir: @directory, env: env)
      JSON.parse(outcome.out[/^counted (.*)/, 1] || raise(outcome.to_s))
    end

    def serve
      @sidekiq = SidekiqProcess.new(@directory, "./program.rb", env: env, queues: %w[default hopeless])
    end

    it "counts what is enqueued, performed, retried and dead, from whatever process" do
      enqueued = run_program(<<~'RUBY')
        3.times { PlainJob.perform_async }
        PlainJob.perform_async("bad")
        PlainJob.perform_in(3600)
        HopelessJob.perform_async
        Sidekiq::Client.push_bulk("class" => PlainJob, "args" => [["good"], ["good"]])
      RUBY
      expect(enqueued.fetch("sidekiq_jobs_enqueued_total")).to eq(
        "PlainJob default enqueued" => 6, "PlainJob default scheduled" => 1, "HopelessJob hopeless enqueued" => 1
      )
      expect(enqueued.keys.grep(/sidekiq_(queue|set|busy|processes)/)).to be_empty
      serve
      totals = nil
      eventually(within: 60, every: 0.2) do
        totals = run_program("")
        expect(totals["sidekiq_jobs_total"]).to eq(
          "PlainJob default completed" => 5, "PlainJob default failed" => 1, "HopelessJob hopeless failed" => 1
        )
        expect(totals).to include("sidekiq_jobs_dead_total" => { "HopelessJob hopeless" => 1 })
        expect(totals["sidekiq_set_size"]).to eq("scheduled" => 1, "retry" => 1, "dead" => 1)
      end
      expect(totals["sidekiq_job_duration_seconds"]).to eq(totals["sidekiq_jobs_total"])
      expect(totals["sidekiq_job_latency_seconds"]).to eq("default" => 6, "hopeless" => 1)

      # What waited to be retried is performed for the second time when it is due.
      run_program('require "sidekiq/api"; Sidekiq::RetrySet.new.each(&:retry)')
      eventually(within: 60, every: 0.2) do
        expect(run_program("")).to include("sidekiq_job_retries_total" => { "PlainJob default" => 1 })
      end
      expect(@sidekiq.log).not_to include("could not be counted")
    end

    it "shows what waits while a Sidekiq runs, and nothing when none does" do
      serve
      run_program('5.times { PlainJob.perform_async("waiting") }')
      eventually(within: 60, every: 0.2) do
        totals = run_program("")
        expect(totals["sidekiq_queue_size"]).to eq("default" => 2)
        expect(totals.dig("sidekiq_queue_latency_seconds", "default")).to be_positive
        expect(totals["sidekiq_processes"]).to eq("" => 1)
      end
      FileUtils.touch("#{@directory}/go_on")
      eventually(within: 60, every: 0.2) { expect(run_program("")["sidekiq_queue_size"]).to eq("default" => 0) }
      @sidekiq.stop
      totals = run_program("")
      expect(totals.fetch("sidekiq_queue_size", {})).to be_empty
      expect(totals["sidekiq_jobs_total"]).to eq("PlainJob default completed" => 5)
    end

    it "counts a job as interrupted that Sidekiq stops to end in time" do
      run_program('PlainJob.perform_async("waiting")')
      serve
      eventually(within: 60) { @sidekiq.log.include?("start") }
      @sidekiq.stop
      totals = run_program("")
      expect(totals["sidekiq_jobs_total"]).to eq("PlainJob default interrupted" => 1)
    end

    it "leaves jobs as they are when Redis is not there" do
      @redis.stop
      outcome = run_ruby(<<~'RUBY', chdir: @directory, env: env)
        require "./program"
        begin
          PlainJob.perform_async
        rescue StandardError => e
          puts e.class.name[/Connect|Redis/]
        end
      RUBY
      expect(outcome.out).to match(/Connect|Redis/), outcome.to_s
    end
  end

  describe "under Rails" do
    around { |example| Application.open { |application| (@application = application) && example.run } }

    let(:env) do
      { "LIBRARIES" => "sidekiq", "QUEUE_ADAPTER" => "sidekiq", "REDIS_URL" => @redis.url, "INTERVAL" => "0.1" }
    end

    def serve(**more)
      @sidekiq = SidekiqProcess.new(@application.directory, ".", queues: %w[work default], env: env.merge(
        "RAILS_ENV" => "production", "RACK_ENV" => nil, "ARENA" => @application.arena, "LOG_LEVEL" => "error",
        "RUBYLIB" => [File.join(RubyProcess::ROOT, "lib"), ENV.fetch("RUBYLIB", nil)].compact.join(":"), **more
      ))
    end

    it "counts jobs of ActiveJob as such, and not once more" do
      serve
      counted(@application, "2.times { WorkJob.perform_later('good') }\nWorkJob.perform_later('unwanted')", env: env)
      totals = nil
      eventually(within: 60, every: 0.2) do
        totals = counted(@application, env: env)
        expect(totals["jobs_total"]).to eq("WorkJob work completed" => 2, "WorkJob work discarded" => 1)
        expect(totals).to include("sidekiq_processes" => { "" => 1 })
      end
      expect(totals["jobs_enqueued_total"]).to eq("WorkJob work enqueued" => 3)
      expect(totals["job_latency_seconds"]).to eq("work" => 3)
      expect(totals["sidekiq_queue_size"]).to eq("work" => 0)
      expect(totals.fetch("sidekiq_jobs_total", {}).merge(totals.fetch("sidekiq_jobs_enqueued_total", {}))).to be_empty
    end

    it "counts them by their own names where the instrumentation of ActiveJob is off" do
      env["SWITCHED_OFF"] = "active_job"
      serve
      counted(@application, "WorkJob.perform_later('good')", env: env)
      eventually(within: 60, every: 0.2) do
        totals = counted(@application, env: env)
        expect(totals["sidekiq_jobs_total"]).to eq("WorkJob work completed" => 1)
        expect(totals["sidekiq_jobs_enqueued_total"]).to eq("WorkJob work enqueued" => 1)
        expect(totals.keys.grep(/\Ajobs?_/)).to be_empty
      end
    end

    it "is silent when it is switched off" do
      env["SWITCHED_OFF"] = "sidekiq"
      serve
      counted(@application, "WorkJob.perform_later('good')", env: env)
      eventually(within: 60, every: 0.2) do
        totals = counted(@application, env: env)
        expect(totals["jobs_total"]).to eq("WorkJob work completed" => 1)
        expect(totals.keys.grep(/sidekiq/)).to be_empty
      end
    end
  end
end
