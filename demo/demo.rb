# frozen_string_literal: true

# The demo, from beginning to end. bin/demo runs it, after bin/setup.

require "fileutils"
require "tmpdir"

%w[wait http children terminal application prometheus load watch tour comparison].each do |part|
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
      @application = Application.new(@directory, @children)
      @prometheus = Prometheus.new(@directory, @children)
    end

    # @return [Boolean] whether all figures agreed
    def call
      prepare
      answered = load
      @prometheus.catch_up
      Tour.new(@application, @prometheus).call
      same = Comparison.new(@application, @prometheus, answered, @planned).call
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
      Terminal.step("#{Application::WORKERS} Puma workers, 1 job process") { @application.start }
      Terminal.step("Prometheus") { @prometheus.start(@application.port, @application.token) }
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
      answered
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
