# frozen_string_literal: true

module Demo
  # Something that the demo relies on did not happen. Ends with the last lines of the log that may tell why, since the
  # logs are gone by the time that it is shown.
  class Failure < StandardError
    LINES = 30

    def initialize(message, log = nil)
      super([message, *(log && tail(log))].join("\n"))
    end

    private

    # Ruby puts the message first and a long way there after it; the way says little.
    def tail(log)
      File.readlines(log, chomp: true).map(&:scrub).grep_v(/^\s+from /).last(LINES).map { |line| "  | #{line}" }
    rescue SystemCallError => e
      [e.message]
    end
  end

  # Waiting with a deadline.
  module Wait
    PAUSE = 0.1

    # Looks again and again until the block returns something.
    #
    # @return what the block returned
    # @raise [Failure] after so many seconds
    def self.until(what, seconds, log: nil)
      deadline = now + seconds
      loop do
        found = yield
        return found if found
        raise Failure.new("waited #{seconds} s for #{what}", log) if now > deadline

        sleep PAUSE
      end
    end

    def self.now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
