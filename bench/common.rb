# frozen_string_literal: true

# What benchmarks have in common. A subject is something that counts: this gem, a peer, or the empty method that is the
# limit; each in a process of its own (two of them share a module's name), asked in turns.
module Bench
  LABELS = { status: "paid", queue: "mail" }.freeze
  ATTRIBUTES = { "status" => "paid", "queue" => "mail" }.freeze
  BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0].freeze

  # Calls after which everything is sent: less than a batch of anybody, so that nobody sends in between, and far less
  # than a queue holds, so that nothing is dropped, which would look fast, and no backlog is kept, which a garbage
  # collector would go through again and again.
  BURST = 500

  def self.now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  CLOCKS = { cpu: Process::CLOCK_PROCESS_CPUTIME_ID, thread: Process::CLOCK_THREAD_CPUTIME_ID,
             wall: Process::CLOCK_MONOTONIC }.freeze

  # Seconds that the block takes: of the processor, since others at work on the machine are no cost of what is measured,
  # by all threads of the process and by the calling one; and on the wall.
  def self.timed
    start = CLOCKS.transform_values { |clock| Process.clock_gettime(clock) }
    yield
    CLOCKS.to_h { |name, clock| [name, Process.clock_gettime(clock) - start.fetch(name)] }
  end

  def self.median(numbers)
    sorted = numbers.sort
    middle = sorted.size / 2
    sorted.size.odd? ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2.0
  end
end
