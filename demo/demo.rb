# frozen_string_literal: true

# The demo, from beginning to end. bin/demo runs it, after bin/setup.

require "fileutils"
require "tmpdir"

%w[wait http children terminal collector application prometheus load watch tour ledger comparison
   trace_comparison].each do |part|
  require_relative "driver/#{part}"
end

module Demo
  # One run: prepare, load, compare, look around.
  class Run
    STALLED = 60 # seconds in which no audit ended

    def initialize(tasks)
      @tasks = tasks
      @directory = Dir.mktmpdir("tasker_telemetry-demo-")
      @plan = File.join(@directory, "plan.txt")
      @children = Children.new(File.join(@directory, "logs"))
      @collector = Collector.new(@directory, @children)
      @application = Application.new(@directory, @children, @collector)
      @prometheus = Prometheus.new(@directory, @children)
    end

    # @return [Boolean] whether all figures agreed
    def call
      prepare
      answered = load
      @prometheus.catch_up
      Tour.new(@application, @prometheus, @collector).call
      same = compare(answered)
      Tour.next_steps
      same
    end

    # Ends and removes all that there is.
    def clean_up(keep:)
      # A second Ctrl-C must not leave half of it behind.
      Children::SIGNALS.each { |signal| trap(signal, "IGNORE") }
      @children.stop_all
      return puts("", "Kept. To look around: #{@application.keep}") if keep

      @application.forget
      FileUtils.rm_rf(@directory)
    end

    private

    def prepare
      Terminal.step("Rails application") { @application.generate }
      Terminal.step("plan, by a rake process") { plan }
      Terminal.step("OpenTelemetry collector") { @collector.start }
      Terminal.step("#{Application::WORKERS} Puma workers, 1 job process") { @application.start }
      Terminal.step("Prometheus") { @prometheus.start(@application.port, @application.token) }
    end

    # What is sent late is there when all have ended: the application's processes send what they have, and the collector
    # hands on what it has.
    def compare(answered)
      Terminal.heading("What was counted, beside what others know")
      ledger = Ledger.new
      Comparison.new(@application, @prometheus, answered, @planned, ledger).call
      @application.stop
      @collector.finish
      TraceComparison.new(@application, Spans.new(@collector.spans), answered, ledger).call
      puts "", ledger.same? ? "OK: every figure is exact." : "DIFFERENT: some figures are not what they should be."
      ledger.same?
    end

    def plan
      @application.rails("plan", "audit:plan", env: { "PLAN" => @plan, "LIMIT" => @tasks.to_s })
      @planned = File.foreach(@plan).count
      "#{@planned} packages"
    end

    # Lets the load generator and the job process run to their ends.
    #
    # @return [Hash{String=>Integer}] what the load generator's log says
    def load
      load = Load.new(@children, @plan, @application.port)
      watch = Watch.new(@prometheus, @planned)
      answered = nil
      until answered && watch.done?
        @children.check
        answered ||= finish(load) if load.through?
        watch.look
        raise Failure.new("no audit ended for #{STALLED} s", @children.log("jobs")) if watch.still_for > STALLED

        sleep 0.5
      end
      watch.close
      settle
      answered
    end

    # An audit is counted before its job has ended. What comes after is not to be missed by who looks next.
    def settle
      Wait.until("the last jobs to end", STALLED, log: @children.log("jobs")) do
        @children.check
        @application.database.unfinished_jobs.zero?
      end
    end

    def finish(load)
      load.finish.tap do |answered|
        refused = @planned - answered["accepted"]
        raise Failure.new("#{refused} audits were not accepted", @application.log) unless refused.zero?
      end
    end
  end

  def self.main
    $stdout.sync = true
    run = Run.new(tasks)
    begin
      exit run.call
    ensure
      run.clean_up(keep: ENV.key?("KEEP"))
    end
  rescue Failure => e
    abort "\nbin/demo: #{e.message}"
  rescue Interrupt
    abort "\nbin/demo: interrupted"
  end

  def self.tasks
    text = ENV.fetch("DEMO_TASKS", "400")
    return text.to_i if text.match?(/\A[1-9]\d*\z/)

    raise Failure, "DEMO_TASKS is #{text.inspect}; it takes the number of packages to audit"
  end
end

Demo.main
