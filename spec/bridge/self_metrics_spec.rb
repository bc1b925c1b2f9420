# frozen_string_literal: true

RSpec.describe "What the gem tells about itself and the processes" do
  before { TaskerTelemetry.reset! }

  # Of each live process what a family says, by its label.
  def of_processes(name)
    TaskerTelemetry.snapshot.to_h.fetch(name).transform_keys { |labels| labels.fetch(:process) }
  end

  # A child with `threads` more threads than a child begins with, which says when they run and ends with the pipe.
  def child(threads)
    ready, told = IO.pipe
    held, release = IO.pipe
    pid = fork do
      TaskerTelemetry.counter(:self_spec_total).increment
      threads.times { Thread.new { sleep } }
      told.puts(Dir.children("/proc/self/task").size)
      release.close
      held.read
      exit!(0)
    end
    held.close
    running = ready.gets.to_i
    yield pid, running
  ensure
    release.close
    Process.wait(pid)
  end

  it "is exact about series, bytes and processes" do
    counter = TaskerTelemetry.counter(:self_spec_words_total, labels: %i[word])
    3.times { |number| counter.increment(word: number) }
    child(0) do
      all = TaskerTelemetry.snapshot.to_h
      expect(all.fetch("tasker_telemetry_series")).to include({ metric: "self_spec_words_total" } => 3)
      expect(all.fetch("tasker_telemetry_processes")).to eq({} => 2)
      expect(all.fetch("tasker_telemetry_arena_bytes")).to eq({} => TaskerTelemetry.status[:metrics][:arena][:bytes])
    end
    eventually { TaskerTelemetry.snapshot.to_h.fetch("tasker_telemetry_processes") == { {} => 1 } }
  end

  it "has threads, memory and CPU time of every live process, and of no other" do
    own = of_processes("process_threads").keys
    child(3) do |pid, running|
      threads = of_processes("process_threads")
      label = (threads.keys - own).first
      expect(label).to match(/\A#{pid}-\d+\z/)
      expect(threads.size).to eq(own.size + 1)
      expect(threads.fetch(label)).to eq(running)
      resident = File.read("/proc/#{pid}/statm").split[1].to_i * 4096
      expect(of_processes("process_resident_memory_bytes").fetch(label)).to be_within(resident / 2).of(resident)
      expect(of_processes("process_cpu_seconds_total").fetch(label)).to be >= 0
    end
    eventually { of_processes("process_threads").keys == own }
  end

  describe "idle expiry" do
    let(:counter) { TaskerTelemetry.counter(:self_spec_idle_total, labels: %i[word]) }

    it "takes seconds, and removes a series that nobody writes to for so long" do
      configure { |config| config.metrics.idle_expiry = 0.02 }
      counter.increment(word: "idle")
      eventually { !TaskerTelemetry.snapshot.to_h["self_spec_idle_total"] }
      expect(counter.value(word: "idle")).to eq(0)
    end

    it "leaves what was written to since" do
      configure { |config| config.metrics.idle_expiry = 3600 }
      counter.increment(word: "used")
      3.times { TaskerTelemetry.snapshot }
      expect(counter.value(word: "used")).to eq(1)
    end
  end
end
