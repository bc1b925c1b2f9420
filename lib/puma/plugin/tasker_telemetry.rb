# frozen_string_literal: true

require "puma/plugin"

# `plugin :tasker_telemetry` in puma.rb, for applications without Rails: there nothing else installs it.
Puma::Plugin.create do
  def start(_launcher)
    require "puma/server"
    require "tasker_telemetry"
    TaskerTelemetry::Instrumentation.install(:puma)
  end
end
