# frozen_string_literal: true

# The native side raises the classes of errors.rb and asks failure.rb, so they have to exist before it is loaded.
require "tasker_telemetry/errors"
require "tasker_telemetry/failure"

begin
  require "tasker_telemetry/tasker_telemetry"
rescue LoadError => e
  # A LoadError from inside the extension (a missing system library) keeps its own words.
  raise unless e.path == "tasker_telemetry/tasker_telemetry"

  raise LoadError, "tasker_telemetry: the native extension is not built. In a checkout run bin/setup; " \
                   "for an installed gem run `gem pristine tasker_telemetry`. (#{e.message})"
end
