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
      @lock = Mutex.new
    end

    # @param block [Proc] takes the place of what it is a new version of
    def add(block)
      added = Collector.new(block)
      @lock.synchronize do
        @collectors = [*@collectors.reject { |known| known.reloaded_by?(added) }, added].freeze
      end
      nil
    end

    # Runs what is due. Two scrapes at once take turns.
    def run
      return if @collectors.empty? || Thread.current.thread_variable_get(COLLECTING)

      @lock.synchronize { run_within(Clock.now + TOTAL_SECONDS) }
    rescue ThreadError
      # In a trap handler no lock may be taken, and so no block can run.
      nil
    end

    # @return [Array<Hash>]
    def status
      @collectors.map(&:status)
    end

    private

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

      # Returns when the queue is done, or the block at work has used up its time or everyone's.
      def wait(deadline)
        permitting_loads do
          until @thread.join([[deadline, block_deadline].min - Clock.now, 0].max)
            return give_up if Clock.now >= [deadline, block_deadline].min
          end
        end
      end

      private

      def work
        Thread.current.thread_variable_set(COLLECTING, true)
        while (collector = take)
          collector.run
        end
      end

      def take
        @lock.synchronize do
          @taken_at = Clock.now
          @current = @queue.shift unless @given_up
        end
      end

      def block_deadline
        @taken_at + BLOCK_SECONDS
      end

      # From here on the thread takes nothing more: the queue belongs to the next worker.
      def give_up
        @lock.synchronize do
          @given_up = true
          @current.overrun! if @current&.running?
        end
      end

      # A block may autoload, which in Rails waits for the threads that run application code: this one among them.
      def permitting_loads(&)
        return yield unless defined?(::ActiveSupport::Dependencies.interlock)

        ::ActiveSupport::Dependencies.interlock.permit_concurrent_loads(&)
      end
    end
  end
end
