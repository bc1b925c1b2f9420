# frozen_string_literal: true

module TaskerTelemetry
  # A block given to {TaskerTelemetry.collect}, and how its runs went.
  #
  # @api private
  class Collector
    attr_reader :location, :started_at

    def initialize(block)
      @block = block
      @location = locate(block)
      @started_at = 0.0
      @counts = { completed: 0, failed: 0, late: 0, skipped: 0 }
    end

    # Whether that block is this one once more, as after a code reload: the same place, compiled again. Two blocks that
    # one loop made share what was compiled, and are two.
    def reloaded_by?(other)
      location == other.location && place == other.place && !code.equal?(other.code)
    end

    # A thread that is gone, by a fork or by being killed, runs nothing.
    def running?
      @thread&.alive? || false
    end

    # To be said before {#run}, in the thread that will run the block: from now on it is running.
    def claim
      @overrun = false
      @settled = false
      @thread = Thread.current
      @started_at = Clock.now
    end

    # Runs the block in the calling thread. Nothing that it raises gets out: the scrape is not its business.
    def run
      in_application { @block.call }
      settle(:completed)
    rescue Exception => e # rubocop:disable Lint/RescueException -- SystemExit would end the process that is scraped
      failed(e.class.to_s) { "raised #{Failure.describe(e)}" }
    ensure
      # Neither returned nor raised.
      failed("killed") { "did not come to its end: its thread was killed" } unless @settled
      @last_seconds = Clock.now - @started_at
      OwnMetrics::COLLECT_DURATION.observe(@last_seconds, block: location)
      @thread = nil
    end

    # Notes that the scrape went on without this run.
    def overrun!
      @overrun = true
      count(:late)
      Log.limited([:collect, location]) do
        "the collect block at #{location} takes longer than #{Collectors::BLOCK_SECONDS} s; " \
          "the page goes out with its last values"
      end
    end

    # Notes that a scrape did not run the block: it was still running, or there was no time left.
    def skip!
      count(:skipped)
    end

    # @return [Hash{Symbol => Object}] for {TaskerTelemetry.status}
    def status
      { location: location, running: running?, **@counts, last_seconds: @last_seconds, last_error: @last_error }
    end

    protected

    def code
      @code ||= RubyVM::InstructionSequence.of(@block)
    end

    # From which line and column to which.
    def place
      code&.to_a&.dig(4, :code_location)
    end

    private

    def failed(error)
      settle(:failed)
      @last_error = error
      Log.limited([:collect, location]) { "the collect block at #{location} #{yield}" }
    end

    # A run has one outcome; a late one had it when it became late.
    def settle(outcome)
      @settled = true
      count(outcome) unless @overrun
    end

    def count(outcome)
      @counts[outcome] += 1
      OwnMetrics::COLLECT_RUNS.increment(block: location, outcome: outcome)
    end

    # With the executor, a block may use ActiveRecord: its connection goes back to the pool. In an application that
    # allows one thread at a time the scrape's own request holds the executor, and waits for this thread.
    def in_application(&block)
      application = ::Rails.application if defined?(::Rails.application)
      return block.call if !application&.initialized? || application.config.allow_concurrency == false

      application.executor.wrap(&block)
    end

    # The path below the application stays the same from release to release, as a label should.
    def locate(block)
      file, line = block.source_location
      return "unknown" unless file

      root = "#{::Rails.root}/" if defined?(::Rails.root) && ::Rails.root
      "#{root ? file.delete_prefix(root) : file}:#{line}"
    end
  end
end
