# frozen_string_literal: true

# Waiting for what another process or thread does: look again until it is so, and fail when the time is up.
module Deadline
  # Runs the block until it returns something true or expectations in it hold; gives what it returned.
  def eventually(within: 10, every: 0.01)
    give_up_at = Process.clock_gettime(Process::CLOCK_MONOTONIC) + within
    begin
      yield || raise(RSpec::Expectations::ExpectationNotMetError, "still false or nil")
    rescue RSpec::Expectations::ExpectationNotMetError => e
      if Process.clock_gettime(Process::CLOCK_MONOTONIC) > give_up_at
        raise e.class, "after #{within} s: #{e.message}", e.backtrace
      end

      sleep every
      retry
    end
  end
end
