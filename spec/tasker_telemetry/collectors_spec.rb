# frozen_string_literal: true

require "stringio"

RSpec.describe TaskerTelemetry::Collectors do
  subject(:collectors) { described_class.new }

  let(:log) { StringIO.new }
  let(:ran) { [] }

  before do
    allow_seconds(30, 60)
    configure { |config| config.logger = Logger.new(log) }
    TaskerTelemetry::Log.reset
  end

  def allow_seconds(block, total)
    stub_const("#{described_class}::BLOCK_SECONDS", block)
    stub_const("#{described_class}::TOTAL_SECONDS", total)
  end

  def idle?
    collectors.status.none? { |block| block[:running] }
  end

  it "runs every block, one after the other, before it returns" do
    3.times { |number| collectors.add(-> { ran << number }) }
    collectors.run
    expect(ran).to eq([0, 1, 2])
  end

  it "runs them in a thread that is gone afterwards" do
    collectors.add(-> { ran << Thread.current })
    collectors.run
    expect(ran.first).not_to be(Thread.current)
    expect(ran.first).not_to be_alive
  end

  [StandardError, NotImplementedError, SystemExit, SystemStackError, Interrupt].each do |error|
    it "goes on after a #{error}, which is logged, counted and named" do
      collectors.add(-> { raise error, "on purpose" })
      collectors.add(-> { ran << :next })
      collectors.run
      expect(ran).to eq([:next])
      expect(collectors.status.first)
        .to include(completed: 0, failed: 1, last_error: error.name, location: /collectors_spec.rb:\d+\z/)
      expect(log.string).to match(/the collect block at .*collectors_spec.rb:\d+ raised #{error}: on purpose/)
    end
  end

  it "goes on after an exception whose message raises, which is named by its class" do
    silent = Class.new(StandardError) { def message = raise("no words for it") }
    stub_const("Silent", silent)
    collectors.add(-> { raise Silent })
    collectors.add(-> { ran << :next })
    expect { collectors.run }.not_to raise_error
    expect(ran).to eq([:next])
    expect(collectors.status.first).to include(failed: 1, last_error: "Silent")
    expect(log.string).to match(/the collect block at .*collectors_spec.rb:\d+ raised Silent$/)
  end

  it "goes on after an exception whose message ends the process" do
    stub_const("Last", Class.new(StandardError) { def message = exit(1) })
    collectors.add(-> { raise Last })
    collectors.add(-> { ran << :next })
    expect { collectors.run }.not_to raise_error
    expect(ran).to eq([:next])
    expect(log.string).to include("left out of a page: SystemExit")
  end

  it "counts a block that kills its thread as failed, and goes on" do
    collectors.add(-> { Thread.current.kill })
    collectors.add(-> { ran << :next })
    collectors.run
    expect(ran).to eq([:next])
    expect(collectors.status.first).to include(completed: 0, failed: 1, last_error: "killed")
    expect(log.string).to match(/the collect block at .*collectors_spec.rb:\d+ .*its thread was killed/)
  end

  it "takes a block that a block registers" do
    collectors.add(-> { collectors.add(-> { ran << :inner }) if ran.empty? })
    collectors.run
    expect(collectors.status.first).to include(completed: 1, late: 0)
    collectors.run
    expect(ran).to eq([:inner])
  end

  it "counts runs by block and outcome, and times them" do
    TaskerTelemetry.reset!
    collectors.add(-> {})
    2.times { collectors.run }
    place = collectors.status.first[:location]
    all = TaskerTelemetry.snapshot.to_h
    expect(all.fetch("tasker_telemetry_collect_runs_total")).to include({ block: place, outcome: "completed" } => 2)
    expect(all.fetch("tasker_telemetry_collect_duration_seconds").fetch({ block: place })).to include(count: 2)
  end

  describe "with a block that does not end" do
    let(:gate) { Queue.new }

    before do
      allow_seconds(0.2, 60)
      collectors.add(-> { (ran << :slow) && gate.pop })
    end

    after { gate.close }

    it "goes on without it, and with the others" do
      collectors.add(-> { ran << :next })
      collectors.run
      eventually { expect(ran).to eq(%i[slow next]) }
      expect(collectors.status.first).to include(running: true, late: 1)
      expect(log.string).to include("takes longer than")
    end

    it "does not start it again while it runs, and does once it has ended" do
      2.times { collectors.run }
      eventually { expect(ran).to eq([:slow]) }
      expect(collectors.status.first).to include(running: true, late: 1, skipped: 1)

      gate.push(true)
      eventually { idle? }
      allow_seconds(30, 60)
      gate.push(true)
      collectors.run
      expect(collectors.status.first).to include(late: 1, completed: 1, running: false)
    end

    it "does not wait for more than the time that all have" do
      allow_seconds(0.2, 0.5)
      5.times { collectors.add(-> { gate.pop }) }
      collectors.run
      late, skipped = %i[late skipped].map { |outcome| collectors.status.sum { |block| block[outcome] } }
      expect([late + skipped, late]).to match([6, be_between(0, 3)])
      eventually { collectors.run || collectors.status.any? { |block| block[:late].positive? } }
    end

    it "lets those that had no turn go first the next time" do
      allow_seconds(0.2, 0.5)
      4.times { collectors.add(-> { gate.pop }) }
      collectors.add(-> { ran << :starved })
      # Those that had their turn are due again each time.
      eventually do
        collectors.run
        eventually do
          gate.push(true) if gate.num_waiting.positive?
          idle?
        end
        gate.clear
        ran.include?(:starved)
      end
    end
  end

  it "does not wait for itself when a block exports" do
    collectors.add(-> { collectors.run && (ran << :inner) })
    collectors.add(-> { ran << :outer })
    collectors.run
    expect(ran).to eq([:outer])
    expect(collectors.status.first).to include(completed: 1, late: 0)
  end

  it "runs every block once for all the scrapes that come while it runs" do
    gate = Queue.new
    blocks = collectors
    order = ran
    blocks.add(-> { (order << :block) && gate.pop })
    scrapes = Array.new(4) { Thread.new { blocks.run } }
    eventually { ran.any? && scrapes.all? { |scrape| scrape.status == "sleep" } }
    gate.close
    scrapes.each(&:join)
    expect(ran).to eq([:block])
    collectors.run
    expect(ran).to eq(%i[block block])
  end

  it "runs what can be run for a scrape that waited for one which was cut off, and each block in one thread only" do
    # No `let` in threads: RSpec takes a lock for it, which would pass for the one that is waited for.
    gate = Queue.new
    blocks = collectors
    order = ran
    blocks.add(-> { (order << :held) && gate.pop })
    blocks.add(-> { order << :next })
    cut_off = Thread.new { blocks.run }
    eventually { ran.any? }
    waiting = Thread.new { blocks.run }
    eventually { waiting.status == "sleep" }
    cut_off.kill.join
    waiting.join
    expect(ran).to eq(%i[held next])
    expect(collectors.status.map { |block| block[:skipped] }).to eq([1, 0])

    gate.close
    eventually { Thread.list.none? { |thread| thread.name == "tasker_telemetry collect" } }
    expect(ran).to eq(%i[held next])
  end

  it "keeps one block per place when a file is loaded again" do
    2.times { eval("-> { ran << :loaded }", binding, "reloaded.rb", 1).then { |block| collectors.add(block) } } # rubocop:disable Style/EvalWithLocation
    collectors.run
    expect(ran).to eq([:loaded])
  end

  it "keeps every block that one loop made, and every one of a line" do
    3.times { |number| collectors.add(-> { ran << number }) }
    (collectors.add(-> { ran << :a }) && nil) || collectors.add(-> { ran << :b })
    collectors.run
    expect(ran).to eq([0, 1, 2, :a, :b])
  end

  it "runs nothing in a trap handler, and the handler goes on" do
    # No `let` in there: RSpec takes a lock for it.
    happened = []
    trapped = collectors
    trapped.add(-> { happened << :block })
    before = trap("USR2") do
      trapped.run
      happened << :handled
    end
    Process.kill("USR2", Process.pid)
    eventually { happened.include?(:handled) }
    expect(happened).to eq([:handled])
  ensure
    trap("USR2", before || "DEFAULT")
  end

  it "runs in a forked child, whatever ran in the parent at that moment" do
    gate = Queue.new
    reader, writer = IO.pipe
    parent = Process.pid
    collectors.add(-> { Process.pid == parent ? gate.pop : writer.puts("the parent's, in the child") })
    scrape = Thread.new { collectors.run }
    eventually { collectors.status.first[:running] }
    pid = fork do
      collectors.add(-> { writer.puts("the child's own") })
      collectors.run
      writer.puts(collectors.status.first.values_at(:completed, :late).inspect)
      exit!(0)
    end
    writer.close
    expect(reader.read.lines(chomp: true)).to eq(["the child's own", "the parent's, in the child", "[1, 0]"])
    Process.wait(pid)
  ensure
    gate.close
    scrape.join
  end
end
