# frozen_string_literal: true

module TaskerTelemetry
  # Tells the native side that this process is about to fork, and has forked. `fork`, `IO.popen("-")` and Process.fork
  # all pass through Process._fork; Process.daemon does not.
  #
  # @api private
  module ForkHook
    def _fork
      ForkHook.prepare
      pid = super
    ensure
      # A fork that raised has no child.
      pid&.zero? ? ForkHook.child : ForkHook.parent
    end

    def daemon(...)
      ForkHook.prepare_move
      super
    ensure
      # What goes on here is a child of the one that called, which has ended without a word; where daemon raised, it is
      # still that one.
      ForkHook.moved
    end

    class << self
      def prepare
        tell { Native.before_fork }
      end

      def prepare_move
        tell { Native.before_move }
      end

      def moved
        tell do
          Native.after_move
          MetricPush.restart
        end
      end

      def parent
        tell { Native.after_fork_parent }
      end

      def child
        tell do
          Native.after_fork_child
          MetricPush.restart
        end
      end

      private

      # Nothing that happens here is worth the application's fork.
      def tell
        yield
      rescue StandardError => e
        Log.error("the native side could not follow a fork: #{Failure.describe(e)}")
      end
    end
  end

  Process.singleton_class.prepend(ForkHook)
end
