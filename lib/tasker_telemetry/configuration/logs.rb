# frozen_string_literal: true

require "tasker_telemetry/options"

module TaskerTelemetry
  class Configuration < Options
    # `config.logs`: events as lines of the log.
    class Logs < Options
      # @!attribute enabled
      #   @return [Boolean] true writes the events that are for the log on the logger
      option :enabled, Types::BOOLEAN, default: false

      # @!attribute format
      #   @return [Symbol] :json, or :key_value for `key=value`
      option :format, Types::LOG_FORMAT, default: :json
    end
  end
end
