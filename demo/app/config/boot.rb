# frozen_string_literal: true

# Debian's own gems are on Ruby's path already, so the application needs neither a Gemfile nor Bundler.
# What a `gem "tasker_telemetry"` line would do is done by hand: the checkout's lib/ goes on the load path.
$LOAD_PATH.unshift(ENV.fetch("TASKER_TELEMETRY_LIB"))
