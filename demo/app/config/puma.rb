# frozen_string_literal: true

environment ENV.fetch("RAILS_ENV")
bind "tcp://127.0.0.1:#{ENV.fetch("PORT")}"
workers 3
threads 3, 3
preload_app!

# A connection that idles for a second is closed. So each scrape comes on a connection of its own, and lands on
# whichever worker is free, as it would behind a load balancer.
persistent_timeout 1

# A worker may wait for ever when it is told to end (puma/puma#3677): it closes a pipe that its signal handler is still
# writing to, and Ruby 3.3 cannot tell who closes from within a signal handler. So a thread writes.
require "puma/server"
Puma::Server.prepend(Module.new do
  private

  def notify_safely(message)
    Thread.new { super }
  end
end)
