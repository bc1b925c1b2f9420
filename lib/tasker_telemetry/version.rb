# frozen_string_literal: true

module TaskerTelemetry
  VERSION = "0.1.0"
end
