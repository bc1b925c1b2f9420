# frozen_string_literal: true

environment ENV.fetch("RAILS_ENV")
bind "tcp://127.0.0.1:#{ENV.fetch("PORT")}"
workers 3
threads 3, 3
preload_app!

# A connection that idles for a second is closed. So each scrape comes on a connection of its own, and lands on
# whichever worker is free, as it would behind a load balancer.
persistent_timeout 1

require_relative "puma_stop"
