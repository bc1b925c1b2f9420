# frozen_string_literal: true

require "csv"
require "json"
require "tasker_telemetry/report"
require "tmpdir"

RSpec.describe TaskerTelemetry::Report do
  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  attr_reader :directory

  let(:arena) { "#{directory}/arena" }
  let(:environment) { { "ARENA" => arena, "RUBYLIB" => "#{RubyProcess::ROOT}/lib:#{ENV.fetch("RUBYLIB", nil)}" } }

  before do
    File.write("#{directory}/Rakefile", <<~RUBY)
      require "tasker_telemetry/tasks"
      TaskerTelemetry.configure { |config| config.metrics.arena = ENV.fetch("ARENA") }
    RUBY
    counted = run_ruby(<<~RUBY, env: environment)
      require "tasker_telemetry"
      TaskerTelemetry.configure { |config| config.metrics.arena = ENV.fetch("ARENA") }
      TaskerTelemetry.counter(:orders_total, "Orders", labels: %i[status]).increment(3, status: "paid, in full")
    RUBY
    raise counted.to_s unless counted.success?
  end

  def rake(*arguments, env: {})
    run_command("rake", "--quiet", *arguments, env: environment.merge(env), chdir: directory)
  end

  describe "tasker_telemetry:export_now" do
    it "prints what other processes counted, and nothing else" do
      outcome = rake("tasker_telemetry:export_now")
      expect(outcome).to be_success, outcome.to_s
      expect(outcome.out).to start_with("# HELP ").and include(%(\norders_total{status="paid, in full"} 3\n))
    end

    it "prints each format" do
      expect(rake("tasker_telemetry:export_now[openmetrics]").out).to end_with("# EOF\n")
      expect(JSON.parse(rake("tasker_telemetry:export_now[json]").out)).not_to be_empty
      expect(CSV.parse(rake("tasker_telemetry:export_now[csv]").out).flatten.join(" ")).to include("orders_total")
    end

    it "writes a file whole, in the place of the old one" do
      page = "#{directory}/page.prom"
      File.write(page, "old")
      outcome = rake("tasker_telemetry:export_now", env: { "OUTPUT" => page })
      expect([outcome.success?, outcome.out]).to eq([true, ""]), outcome.to_s
      expect(File.read(page)).to include("orders_total")
      expect(Dir.children(directory)).to contain_exactly("Rakefile", "arena", "page.prom")
    end

    it "writes a file that only its owner reads, unless the one before was for others too" do
      page = "#{directory}/page.prom"
      rake("tasker_telemetry:export_now", env: { "OUTPUT" => page })
      expect(File.stat(page).mode & 0o777).to eq(0o600)
      File.chmod(0o644, page)
      rake("tasker_telemetry:export_now", env: { "OUTPUT" => page })
      expect(File.stat(page).mode & 0o777).to eq(0o644)
    end

    it "keeps the owner of the file that it replaces" do
      skip "to give a file away takes root" unless Process.uid.zero?

      page = "#{directory}/page.prom"
      File.write(page, "old")
      File.chmod(0o640, page)
      File.chown(1, 1, page)
      rake("tasker_telemetry:export_now", env: { "OUTPUT" => page })
      expect(File.read(page)).to include("orders_total")
      expect(File.stat(page)).to have_attributes(uid: 1, gid: 1, mode: 0o100640)
    end

    it "writes to what a link names, and leaves the link" do
      File.symlink("#{directory}/page.prom", "#{directory}/link")
      2.times { rake("tasker_telemetry:export_now", env: { "OUTPUT" => "#{directory}/link" }) }
      expect(File).to be_symlink("#{directory}/link")
      expect(File.read("#{directory}/page.prom")).to include("orders_total")
    end

    it "writes into a pipe or a device, and leaves it where it is" do
      pipe = "#{directory}/pipe"
      File.mkfifo(pipe)
      reader = Thread.new { File.read(pipe) }
      rake("tasker_telemetry:export_now", env: { "OUTPUT" => pipe })
      expect(reader.value).to include("orders_total")
      expect(File).to be_pipe(pipe)
    end

    it "prints when the file has no name" do
      expect(rake("tasker_telemetry:export_now", env: { "OUTPUT" => "" }).out).to include("orders_total")
    end

    it "fails, and says why, when there is no such format or the file cannot be written" do
      outcome = rake("tasker_telemetry:export_now[xml]")
      expect([outcome.status.exitstatus, outcome.out]).to eq([1, ""])
      expect(outcome.err).to match(/\Atasker_telemetry:export_now: .*xml.*prometheus/)

      outcome = rake("tasker_telemetry:export_now", env: { "OUTPUT" => "#{directory}/none/page" })
      expect(outcome.status.exitstatus).to eq(1)
      expect(outcome.err).to match(/No such file or directory/)
    end
  end

  describe "tasker_telemetry:events:forget" do
    # Tells of one and the same transition, and prints how often it was counted.
    def tell
      run_ruby(<<~RUBY, env: environment).out
        require "tasker_telemetry"
        TaskerTelemetry.configure { |config| config.metrics.arena = ENV.fetch("ARENA") }
        TaskerTelemetry.instrument("task.failed", task_id: 1, attempt: 1)
        print TaskerTelemetry.snapshot.to_h["task_failed_total"].values.sum
      RUBY
    end

    it "has what was told before count as new, and keeps what was counted" do
      expect([tell, tell]).to eq(%w[1 1])
      outcome = rake("tasker_telemetry:events:forget")
      expect([outcome.success?, outcome.out]).to eq([true, ""]), outcome.to_s
      expect([tell, tell]).to eq(%w[2 2])
    end
  end

  describe "without an arena to share" do
    let(:unusable) { { "ARENA" => "/proc/arena" } }

    it "fails rather than print a page of nothing" do
      outcome = rake("tasker_telemetry:export_now", env: unusable)
      expect([outcome.status.exitstatus, outcome.out]).to eq([1, ""])
      expect(outcome.err)
        .to match(%r{^tasker_telemetry:export_now: what other processes counted cannot be seen; .*/proc/arena})
    end

    it "fails to have others forget" do
      outcome = rake("tasker_telemetry:events:forget", env: unusable)
      expect(outcome.status.exitstatus).to eq(1)
      expect(outcome.err).to match(%r{^tasker_telemetry:events:forget: .*/proc/arena})
    end

    it "fails when metrics are switched off" do
      File.write("#{directory}/Rakefile", <<~RUBY, mode: "a")
        TaskerTelemetry.configure { |config| config.metrics.enabled = false }
      RUBY
      outcome = rake("tasker_telemetry:export_now")
      expect([outcome.status.exitstatus, outcome.out]).to eq([1, ""])
      expect(outcome.err).to include("metrics are switched off")
    end

    it "fails to be in order, and shows the state all the same" do
      outcome = rake("tasker_telemetry:status", env: unusable)
      expect(outcome.status.exitstatus).to eq(1)
      expect(outcome.out).to match(%r{message: .*/proc/arena})
    end
  end

  describe "tasker_telemetry:status" do
    it "is for people" do
      outcome = rake("tasker_telemetry:status")
      expect(outcome).to be_success, outcome.to_s
      expect(outcome.out).to include("service_name: app\n").and include("version: #{TaskerTelemetry::VERSION}\n")
      expect(outcome.out).to include(arena)
    end

    it "is for programs" do
      outcome = rake("tasker_telemetry:status", env: { "FORMAT" => "json" })
      expect(JSON.parse(outcome.out)).to include("service_name" => "app", "metrics" => be_a(Hash))
    end

    it "fails for another format" do
      outcome = rake("tasker_telemetry:status", env: { "FORMAT" => "yaml" })
      expect(outcome.status.exitstatus).to eq(1)
      expect(outcome.err).to eq(%(tasker_telemetry:status: FORMAT cannot be "yaml"; accepted: text, json\n))
    end
  end

  describe "tasker_telemetry:events" do
    before do
      File.write("#{directory}/Rakefile", <<~RUBY, mode: "a")
        TaskerTelemetry.events.register("order.shipped", description: "An order left", payload: %i[order_id carrier])
        TaskerTelemetry.events.map("order.shipped", backends: %i[metrics logs], sample: 0.5, labels: %i[carrier])
        TaskerTelemetry.events.map("order.lost", backends: :traces, priority: :critical, enabled: false)
      RUBY
    end

    it "shows people the catalogue's events, and those of the application" do
      outcome = rake("tasker_telemetry:events")
      expect(outcome).to be_success, outcome.to_s
      expect(outcome.out).to include(<<~TEXT)
        task.cancelled:
          description: A task was called off
          kind: end
          backends: metrics, traces
          payload_keys: task_id, task_name, namespace, started_at, completed_at, total_execution_duration, total_steps, \
        completed_steps, failed_steps, error_message, transitioned_at
          metrics: task_cancelled_total{task_name, namespace}, task_duration_seconds{task_name, namespace, outcome}
      TEXT
      expect(outcome.out).to include(<<~TEXT)
        order.shipped:
          description: An order left
          kind: point
          backends: metrics, logs
          sample: 0.5
          payload_keys: order_id, carrier
          metrics: order_shipped_total{carrier}, order_shipped_duration_seconds{carrier}
      TEXT
    end

    it "shows what is off, or known by its mapping alone" do
      expect(rake("tasker_telemetry:events").out).to include(<<~TEXT)
        order.lost:
          description: none
          kind: point
          backends: none
          priority: critical
          enabled: false
          payload_keys: none
          metrics: none
      TEXT
    end

    it "is for programs" do
      outcome = rake("tasker_telemetry:events", env: { "FORMAT" => "json" })
      events = JSON.parse(outcome.out).to_h { |event| [event["name"], event] }
      expect(events.size).to eq(TaskerTelemetry::Native.events.count { |event| !event[:custom] } + 2)
      expect(events["order.shipped"]).to include("description" => "An order left", "custom" => true,
                                                 "payload_keys" => %w[order_id carrier])
      expect(events["step.failed"]["metrics"].map { |metric| metric["name"] })
        .to eq(%w[step_failed_total step_duration_seconds])
    end

    it "fails for another format" do
      outcome = rake("tasker_telemetry:events", env: { "FORMAT" => "yaml" })
      expect([outcome.status.exitstatus, outcome.out]).to eq([1, ""])
      expect(outcome.err).to eq(%(tasker_telemetry:events: FORMAT cannot be "yaml"; accepted: text, json\n))
    end
  end
end
