# frozen_string_literal: true

# The rake tasks outside of Rails: `require "tasker_telemetry/tasks"` in a Rakefile, after what configures the gem.
require "rake"
require "tasker_telemetry"

load File.expand_path("../tasks/tasker_telemetry.rake", __dir__)
