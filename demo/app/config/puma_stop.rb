# frozen_string_literal: true

# A worker of Puma may wait for ever when it is told to end (puma/puma#3677): it closes a pipe to which its signal
# handler still writes, and Ruby 3.3 cannot tell who closes from within a signal handler. So a thread writes.
require "puma/server"
Puma::Server.prepend(Module.new do
  private

  def notify_safely(message)
    Thread.new { super }
  end
end)
