# frozen_string_literal: true

require "open3"
require "tmpdir"
require_relative "../fixtures/exactness/worker"

RSpec.describe "Counting over many processes" do
  processes = 24
  rounds = 5_250

  # Gives the arena's path, what each thread reported, and the pids that were killed.
  def race(directory, processes, rounds, &)
    arena = "#{directory}/arena"
    report = "#{directory}/report"
    File.binwrite(report, "\0" * (processes * Worker::THREADS * Worker::ENTRY))
    script = File.expand_path("../fixtures/exactness/processes.rb", __dir__)
    command = [RbConfig.ruby, "-I#{RubyProcess::ROOT}/lib", script, arena, report, rounds.to_s]
    Open3.popen2({ "RUBYLIB" => "#{RubyProcess::ROOT}/lib" }, *command) do |_, output, waiter|
      pids = output.gets.split.map(&:to_i)
      yield pids, report
      expect(waiter.value).to be_success
    end
    [arena, reports(report)]
  end

  def reports(report)
    File.binread(report).unpack("q*")
  end

  # Processes of which some thread has not reported its last round.
  def unfinished(report, rounds)
    reports(report).each_slice(Worker::THREADS).with_index.filter_map { |threads, index| index if threads.min < rounds }
  end

  def kill_one(pids, indices, random)
    index = indices.sample(random: random)
    Process.kill(:KILL, pids[index]) if index
    index
  rescue Errno::ESRCH
    # It reported its last round and ended in this very moment.
    index
  end

  def totals(arena)
    code = <<~RUBY
      TaskerTelemetry.configure { |config| config.metrics.arena = #{arena.dump} }
      series = TaskerTelemetry.snapshot.to_a
      total = series.select { |one| one.name == "exact_total" }.sum(&:value)
      seconds = series.find { |one| one.name == "exact_seconds" }.value
      puts [total, seconds[:count], seconds[:sum].to_i].inspect
    RUBY
    output, status = Open3.capture2(RbConfig.ruby, "-I#{RubyProcess::ROOT}/lib", "-rtasker_telemetry", "-e", code)
    expect(status).to be_success
    output.scan(/\d+/).map(&:to_i)
  end

  it "loses nothing of a million increments and observations, in 16 forked and 8 spawned processes of 8 threads" do
    Dir.mktmpdir do |directory|
      arena, reported = race(directory, processes, rounds) { |_pids, _report| nil }
      expect(reported).to all(eq(rounds))
      expect(totals(arena)).to all(eq(processes * Worker::THREADS * rounds))
    end
  end

  it "keeps all that had returned when half of the processes are killed at random instants" do
    random = Random.new(Integer(ENV.fetch("SEED", rand(1 << 32))))
    Dir.mktmpdir do |directory|
      arena, reported = race(directory, processes, rounds) do |pids, report|
        killed = []
        # Over all that those will count who are left, from the first moment on.
        moments = Array.new(processes / 2) { random.rand(processes * Worker::THREADS * rounds / 2) }.sort
        moments.each do |moment|
          counting = -> { unfinished(report, rounds) - killed }
          eventually(within: 120, every: 0.001) { reports(report).sum >= moment || counting.call.empty? }
          killed << kill_one(pids, counting.call, random)
        end
      end
      unfinished = reported.count { |returned| returned < rounds }
      expect(unfinished).to be_positive, "nobody was killed in time (SEED=#{random.seed})"
      # A thread had at most one batch unreported; it dies within its last increment, or before its observation.
      possible = reported.sum..(reported.sum + (unfinished * Worker::BATCH))
      between = satisfy("be in #{possible} (SEED=#{random.seed})") { |total| possible.cover?(total) }
      expect(totals(arena)).to all(between)
    end
  end

  it "counts a parent's 5 and a child's 7 as 12, once" do
    Dir.mktmpdir do |directory|
      code = <<~RUBY
        TaskerTelemetry.configure { |config| config.metrics.arena = #{"#{directory}/arena".dump} }
        counter = TaskerTelemetry.counter(:family_total, "Both", labels: %i[who])
        bound = counter.with(who: "all")
        5.times { bound.increment }
        fork { 4.times { bound.increment }; 3.times { counter.increment(who: "all") } }
        Process.wait
        puts counter.value(who: "all"), TaskerTelemetry.export(:prometheus)[/^family_total.*/]
      RUBY
      output, = Open3.capture2(RbConfig.ruby, "-I#{RubyProcess::ROOT}/lib", "-rtasker_telemetry", "-e", code)
      expect(output.lines(chomp: true)).to eq(["12", 'family_total{who="all"} 12'])
    end
  end
end
