# frozen_string_literal: true

require "tasker_telemetry/collector"

module TaskerTelemetry
  # The blocks given to {TaskerTelemetry.collect}. They run one after the other in a thread of their own, which the
  # scrape waits for, but not for ever: a block that takes too long is left to itself, and the rest goes on without it.
  #
  # @api private
  class Collectors
    # What one block may take, and what all may take together, before the page goes out with the values of last time.
    # Prometheus gives a scrape 10 s by default.
    BLOCK_SECONDS = 2
    TOTAL_SECONDS = 5

    # Set on the threads made here: a block that itself exports must not wait for itself.
    COLLECTING = :tasker_telemetry_collecting

    def initialize
      @collectors = [].freeze
      @registering = Mutex.new
      @running = Mutex.new
      @runs = 0
    end

    # @param block [Proc] takes the place of what it is a new version of
    def add(block)
      added = Collector.new(block)
      @registering.synchronize do
        @collectors = [*@collectors.reject { |known| known.reloaded_by?(added) }, added].freeze
      end
      nil
    end

    # Runs what is due. Of several scrapes at once one does, and the others print what it found: each in its turn would
    # have the last one wait for longer than Prometheus does.
    def run
      return if @collectors.empty? || Thread.current.thread_variable_get(COLLECTING)

      before = @runs
      permitting_loads { @running.synchronize { run_all if @runs == before } }
    rescue ThreadError
      # In a trap handler no lock may be taken, and so no block can run.
      nil
    end

    # @return [Array<Hash>]
    def status
      @collectors.map(&:status)
    end

    private

    def run_all
      run_within(Clock.now + TOTAL_SECONDS)
      @runs += 1
    end

    # A block may autoload, which in Rails waits for the threads that run application code: who waits here among them.
    def permitting_loads(&)
      return yield unless defined?(::ActiveSupport::Dependencies.interlock)

      ::ActiveSupport::Dependencies.interlock.permit_concurrent_loads(&)
    end

    def run_within(deadline)
      running, due = @collectors.partition(&:running?)
      running.each(&:skip!)
      # The longest unrun go first, so that a few slow ones cannot keep the rest from ever having a turn.
      queue = due.sort_by(&:started_at)
      Worker.new(queue).wait(deadline) until queue.empty? || Clock.now >= deadline
      queue.each(&:skip!)
    end

    # A thread that takes blocks from a queue until that is empty or it was given up.
    class Worker
      def initialize(queue)
        @queue = queue
        @lock = Mutex.new
        @taken_at = Clock.now
        @thread = Thread.new { work }
        @thread.name = "tasker_telemetry collect"
      end

      # Returns when the queue is done, or the block at work has used up its time or everyone's. Whichever way this
      # ends, also when the scrape's thread is killed, nobody takes from the queue twice.
      def wait(deadline)
        until @thread.join([[deadline, block_deadline].min - Clock.now, 0].max)
          return overrun if Clock.now >= [deadline, block_deadline].min
        end
      ensure
        @lock.synchronize { @given_up = true }
      end

      private

      def work
        Thread.current.thread_variable_set(COLLECTING, true)
        while (collector = take)
          collector.run
        end
      rescue Exception => e # rubocop:disable Lint/RescueException -- `join` would raise it into the scrape
        Log.limited(:collect, :error) { "collect blocks were left out of a page: #{Failure.describe(e)}" }
      end

      def take
        @lock.synchronize do
          @taken_at = Clock.now
          @current = @given_up ? nil : @queue.shift
          @current&.tap(&:claim)
        end
      end

      def block_deadline
        @taken_at + BLOCK_SECONDS
      end

      # From here on the thread takes nothing more: the queue belongs to the next worker.
      def overrun
        @lock.synchronize do
          @given_up = true
          @current.overrun! if @current&.running?
        end
      end
    end
  end
end
