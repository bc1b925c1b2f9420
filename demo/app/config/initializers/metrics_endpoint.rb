# frozen_string_literal: true

TaskerTelemetry.configure do |config|
  config.endpoint.path  = "/metrics"
  config.endpoint.token = ENV.fetch("METRICS_TOKEN")
end
