# frozen_string_literal: true

RSpec.describe TaskerTelemetry::ForkHook do
  it "is called once for each way to fork" do
    outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" })
      require "tasker_telemetry"
      load "tasker_telemetry/fork_hook.rb"
      $calls = 0
      TaskerTelemetry::Native.singleton_class.prepend(Module.new do
        def before_fork = ($calls += 1) && super
        def before_move = ($calls += 1) && super
      end)
      Process.wait(fork { exit!(0) })
      Process.wait(Process.fork { exit!(0) })
      IO.popen("-") { |child| child || exit!(0) }
      puts $calls
      $stdout.flush
      Process.daemon(true, true)
      puts $calls
    RUBY
    expect(outcome.out).to eq("3\n4\n"), outcome.to_s
  end

  it "never keeps the application from forking" do
    allow(TaskerTelemetry::Native).to receive(:before_fork).and_raise(TaskerTelemetry::NativeError, "not today")
    configure { |config| config.logger = Logger.new(File::NULL) }
    pid = fork { exit!(7) }
    expect(Process.wait2(pid).last.exitstatus).to eq(7)
  end

  it "lets parent and child count into one total" do
    counter = TaskerTelemetry.counter(:fork_hook_spec_total)
    counter.clear
    counter.increment(5)
    pid = fork do
      counter.increment(7)
      exit!(0)
    end
    Process.wait(pid)
    expect(counter.value).to eq(12)
  end
end
