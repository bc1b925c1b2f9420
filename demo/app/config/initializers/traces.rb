# frozen_string_literal: true

# Requests, jobs, tasks and steps become spans. Where they are sent, and how, the environment says: to OpenTelemetry's
# own variables there is nothing to add.
TaskerTelemetry.configure { |config| config.traces.enabled = true }
