# frozen_string_literal: true

require "tmpdir"

# A small run of the demo. bin/demo adds only bin/setup, which whoever runs these has behind them.
RSpec.describe "bin/demo" do
  let(:directory) { Dir.mktmpdir }
  let(:environment) { { "DEMO_TASKS" => "40", "TMPDIR" => directory, "RACK_ENV" => nil, "RAILS_ENV" => nil } }
  let(:command) { [RbConfig.ruby, File.join(RubyProcess::ROOT, "demo/demo.rb")] }

  after { FileUtils.rm_rf(directory) }

  # The command lines of processes that work with files below the directory.
  def left_running
    Dir["/proc/[0-9]*"].filter_map do |process|
      words = File.read("#{process}/cmdline").tr("\0", " ")
      words if words.include?(directory) || File.readlink("#{process}/cwd").start_with?(directory)
    rescue SystemCallError
      nil # it has ended, or is not ours
    end
  end

  def arenas
    Dir["/dev/shm/tasker_telemetry-#{Process.euid}/package_audit-*"]
  end

  it "finds that application, Prometheus, collector, database and load generator agree, and leaves nothing" do
    before = arenas
    demo = run_command(*command, env: environment, within: 240)

    expect(demo).to be_success, demo.to_s
    expect(demo.out).to include("202  = audits asked for").and include("OK: every figure is exact")
    expect(demo.out).not_to include("DIFFERENT")
    expect(demo.out).to match(/^  all .* 400 +400 +400   OK$/).and match(/^  all .* 400 +400   OK$/)
    expect(demo.out).to match(/^  are one tree, the task its root +40 +40   OK$/)
    # Without any, what is said of further attempts would say nothing.
    expect(demo.out).to match(/^  that were tried again +([1-9]\d*) +\1   OK$/).and include("step verify, attempt 2")
    expect(left_running).to be_empty
    expect(Dir.children(directory)).to be_empty
    expect(arenas - before).to be_empty
  end

  it "leaves nothing when it is told to end in the middle" do
    before = arenas
    output, write = IO.pipe
    pid = Process.spawn(environment, *command, out: write, err: %i[child out])
    write.close
    said = +""
    said << output.readpartial(4096) until said.include?("Prometheus")
    Process.kill(:TERM, pid)
    drained = Thread.new { output.read }
    status = eventually(within: 60) { Process.wait2(pid, Process::WNOHANG)&.last }

    expect(status.termsig).to eq(Signal.list.fetch("TERM")), said + drained.value
    expect(left_running).to be_empty
    expect(Dir.children(directory)).to be_empty
    expect(arenas - before).to be_empty
  end
end
