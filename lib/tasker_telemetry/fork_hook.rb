# frozen_string_literal: true

module TaskerTelemetry
  # Tells the native side that this process is about to fork. `fork`, `IO.popen("-")` and Process.fork all pass through
  # Process._fork; Process.daemon does not.
  #
  # @api private
  module ForkHook
    def _fork
      ForkHook.prepare
      super
    end

    def daemon(...)
      ForkHook.prepare
      super
    end

    # Nothing that happens here is worth the application's fork.
    def self.prepare
      Native.before_fork
    rescue StandardError => e
      Log.error("the native side could not prepare for a fork: #{Failure.describe(e)}")
    end
  end

  Process.singleton_class.prepend(ForkHook)
end
