# frozen_string_literal: true

module TaskerTelemetry
  # Makes the pages of metrics that are pushed by OTLP. The native side knows when one is due and which process of the
  # arena is elected to push it; collect blocks are Ruby code, so it takes a thread of Ruby's to run them.
  #
  # @api private
  module MetricPush
    # Seconds after which the thread looks whether it is still in the right arena.
    LOOK = 1.0
    private_constant :LOOK

    @starting = Mutex.new

    class << self
      # Starts the thread where metrics are to be pushed; does nothing the second time. A child that was forked has to
      # start its own.
      #
      # @return [nil]
      def start
        return unless Native.push?

        @starting.synchronize { @thread = new_thread unless @thread&.alive? }
        Native.push_start
        nil
      end

      # In a child that was forked: the parent's thread may have been starting one.
      def restart
        @starting = Mutex.new
        start
      end

      private

      def new_thread
        Thread.new { run }.tap do |thread|
          thread.name = "tasker_telemetry push"
          thread.report_on_exception = false
          # Puma warns of threads that are there before it forks, unless they say that they mind it.
          thread.thread_variable_set(:fork_safe, true)
        end
      end

      def run
        while Native.push?
          order = Native.push_wait(LOOK)
          Native.push_give(order, page) if order
        end
      end

      def page
        MetricsBackend.instance.export(:otlp)
      rescue StandardError => e
        Log.limited(:metric_push, :error) { "the metrics could not be pushed: #{Failure.describe(e)}" }
        nil
      end
    end
  end
end
