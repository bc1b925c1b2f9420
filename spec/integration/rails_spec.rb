# frozen_string_literal: true

require "json"

RSpec.describe "A Rails application" do
  around { |example| Application.open { |application| (@application = application) && example.run } }

  attr_reader :application

  def rake(*arguments, **settings)
    application.run("rake", *arguments, **settings)
  end

  describe "jobs" do
    # Performs jobs of each fate, waits until they are through and prints their totals.
    script = <<~'RUBY'
      require "rack/mock"
      app = Rack::MockRequest.new(Rails.application)
      %w[good bad again unwanted halted swallowed nested].each { |fate| app.post("/work", input: fate) }
      # Its argument is an object that is gone.
      gone = WorkJob.new.serialize.merge("arguments" => [{ "_aj_globalid" => "gid://shop/Gone/1" }])
      begin
        ActiveJob::Base.execute(gone)
      rescue ActiveJob::DeserializationError
        nil
      end
      total = TaskerTelemetry.counter(:jobs_total, "Jobs performed", labels: %i[job queue outcome])
      expected = JSON.parse(ENV.fetch("EXPECTED"))
      counted = lambda do
        expected.to_h { |outcome, _| [outcome, total.value(job: "WorkJob", queue: "work", outcome: outcome)] }
      end
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
      Thread.pass until counted.call == expected || Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      totals = TaskerTelemetry.snapshot.to_h
      puts JSON.generate(totals: totals["jobs_total"].map { |labels, value| [labels.values, value] },
                         durations: totals["job_duration_seconds"].map { |labels, value| [labels.values, value[:count]] })
    RUBY

    # The third run of "again" is its last, and raises. Of "halted" nothing runs but its callback. What the application
    # rescues itself is completed, and so is "nested", whose inner job is discarded.
    {
      "async" => { "completed" => 3, "failed" => 3, "retried" => 2, "discarded" => 3 },
      # Its "again" cannot wait: the adapter raises.
      "inline" => { "completed" => 3, "failed" => 3, "discarded" => 3 }
    }.each do |adapter, expected|
      it "are counted by what became of them, with the #{adapter} adapter" do
        outcome = application.boot(script, env: { "QUEUE_ADAPTER" => adapter, "EXPECTED" => expected.to_json })
        expect(outcome).to be_success, outcome.to_s
        rows = expected.map { |fate, count| [["WorkJob", "work", fate], count] }
        expect(JSON.parse(outcome.out)).to match("totals" => match_array(rows), "durations" => match_array(rows))
      end
    end
  end

  describe "collect blocks" do
    it "may use ActiveRecord, whose connections go back to the pool" do
      outcome = application.boot(<<~'RUBY', env: { "ACTIVE_RECORD" => "1" })
        ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: "file::memory:?cache=shared", pool: 2)
        ActiveRecord::Base.connection.execute("CREATE TABLE orders (id INTEGER)")
        class Order < ActiveRecord::Base; end
        3.times { Order.create! }
        orders = TaskerTelemetry.gauge(:orders, "Orders in the database")
        TaskerTelemetry.collect { orders.set(Order.count) }
        ActiveRecord::Base.clear_active_connections! if ActiveRecord::Base.respond_to?(:clear_active_connections!)
        5.times { TaskerTelemetry.export(:prometheus) }
        puts TaskerTelemetry.export(:prometheus)[/^orders .*/], TaskerTelemetry.status[:metrics][:collect].last[:completed]
      RUBY
      expect(outcome.out).to eq("orders 3\n6\n"), outcome.to_s
    end
  end

  describe "spans of requests", :collector do
    # Who shows the error: a page for everybody, or one for developers. Or nobody does.
    {
      "answers with a page" => "config.consider_all_requests_local = false",
      "shows to developers" => "config.consider_all_requests_local = true",
      "lets out" => "config.action_dispatch.show_exceptions = Rails::VERSION::MAJOR < 7 ? false : :none"
    }.each do |what, setting|
      [{}, { "LATE" => "1" }].each do |env|
        it "tell of an error that Rails #{what}#{", #{env.keys.first}" if env.any?}" do
          File.write("#{application.directory}/config/initializers/errors.rb", "Rails.application.#{setting}\n")
          outcome = application.boot(<<~'RUBY', env: traced_environment.merge("TRACES" => "1", **env).except("ARENA"))
            require "rack/mock"
            mock = Rack::MockRequest.new(Rails.application)
            %w[/boom /nowhere /show].each do |path|
              mock.get(path)
            rescue StandardError
              nil
            end
          RUBY
          expect(outcome).to be_success, outcome.to_s
          @collector.await_spans(3)
          @collector.drain
          boom, nowhere, show = @collector.spans.sort_by(&:start_ns)
          expect(boom).to have_attributes(name: "GET pages#boom", status: :error, status_message: "on purpose")
          expect(boom.events.map(&:attributes)).to contain_exactly(
            include("exception.type" => "RuntimeError", "exception.message" => "on purpose",
                    "exception.stacktrace" => include("pages_controller.rb"))
          )
          expect([show.status, show.events]).to eq([:unset, []])
          # One that leaves the application is an error of the server's, whichever it is.
          expect([nowhere.status, nowhere.events.size]).to eq(what == "lets out" ? [:error, 1] : [:unset, 0])
        end
      end
    end
  end

  describe "defaults" do
    it "come from Rails" do
      outcome = application.boot(<<~RUBY)
        config = TaskerTelemetry.config
        p [config.service_name, config.environment, config.strict, TaskerTelemetry.logger.equal?(Rails.logger)]
      RUBY
      expect(outcome.out).to eq(%(["shop", "production", false, true]\n)), outcome.to_s
    end

    it "are strict where people develop and test, and keep tests in memory" do
      %w[development test].each do |environment|
        outcome = application.boot("p [TaskerTelemetry.config.strict, TaskerTelemetry.config.metrics.arena]",
                                   env: { "RAILS_ENV" => environment, "ARENA" => nil })
        expect(outcome.out).to eq("[true, :#{environment == "test" ? "memory" : "auto"}]\n"), outcome.to_s
      end
    end
  end

  describe "an initializer that wants what the built-in metrics have" do
    {
      'TaskerTelemetry.counter(:http_requests_total, "Mine", labels: %i[path])' => /"http_requests_total" is already/,
      'TaskerTelemetry.counter(:jobs_total, "Mine")' => /"jobs_total" is already declared/,
      'TaskerTelemetry.configure { |config| config.metrics.default_labels = { job: "web" } }' =>
        /default_labels cannot have "job": metric "job_duration_seconds" declares/
    }.each do |line, reason|
      it "is told so at its own line: #{line}" do
        File.write("#{application.directory}/config/initializers/zz_mine.rb", "# Mine\n#{line}\n")
        outcome = application.boot("puts :up")
        expect(outcome.out).to eq("")
        expect(outcome.err).to match(reason).and match(/zz_mine.rb:2/)
      end
    end
  end

  describe "the install generator" do
    it "writes the initializer, with which the application boots" do
      outcome = application.run("bin/rails", "generate", "tasker_telemetry:install")
      expect(outcome).to be_success, outcome.to_s
      written = File.read("#{application.directory}/config/initializers/tasker_telemetry.rb")
      expect(written).to include("TaskerTelemetry.configure do |config|")
      expect(application.boot("puts :up").out).to eq("up\n")
    end

    it "is found by name when the gem is first required in an initializer" do
      outcome = application.run("bin/rails", "generate", "tasker_telemetry:install", env: { "LATE" => "1" })
      expect(outcome).to be_success, outcome.to_s
      expect(File).to exist("#{application.directory}/config/initializers/tasker_telemetry.rb")
    end
  end

  describe "the rake tasks" do
    before do
      outcome = application.boot('3.times { HITS.increment(word: "found") }')
      raise outcome.to_s unless outcome.success?
    end

    it "are listed with what they do" do
      expect(rake("-T", "tasker_telemetry").out)
        .to match(/tasker_telemetry:export_now\[format\] +# Print.*tasker_telemetry:status +# Show/m)
    end

    it "see what the application's other processes counted" do
      outcome = rake("tasker_telemetry:export_now")
      expect(outcome).to be_success, outcome.to_s
      expect(outcome.out).to include(%(\nhits_total{word="found"} 3\n))
    end

    it "tell the state, for programs too" do
      outcome = rake("tasker_telemetry:status", env: { "FORMAT" => "json" })
      expect(JSON.parse(outcome.out)).to include("service_name" => "shop", "environment" => "production",
                                                 "endpoint" => { "path" => "/metrics", "protected_by" => [] })
    end

    [{}, { "LATE" => "1" }, { "EARLY" => "1" }].each do |env|
      it "are there once when the Rakefile asks for them#{", #{env.keys.first}" if env.any?}" do
        File.write("#{application.directory}/Rakefile", %(require "tasker_telemetry/tasks"\n), mode: "a")
        outcome = rake("tasker_telemetry:export_now", env: env)
        expect(outcome).to be_success, outcome.to_s
        expect(outcome.out.scan(%(\nhits_total{word="found"} 3\n)).size).to eq(1)
      end
    end

    it "fail with a reason" do
      outcome = rake("tasker_telemetry:export_now[xml]")
      expect(outcome.status.exitstatus).to eq(1)
      expect(outcome.err).to include("tasker_telemetry:export_now: ")
    end
  end
end
