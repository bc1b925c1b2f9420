# frozen_string_literal: true

require "rails"
require "action_controller/railtie"

module Bench
  module Subjects
    # A Rails application of one action that answers with nothing, asked in this process: its own middleware and router,
    # no server, no log.
    class BareRails
      def self.title
        "Rails #{::Rails.version} API application#{self::WITH}"
      end

      WITH = ""

      def initialize(directory)
        @directory = directory
        ENV["RAILS_ENV"] = "production"
      end

      def trace_to(endpoint)
        load_gem(endpoint)
        require_relative "rails/application"
        @application = Application.start(@directory)
        @request = Rack::MockRequest.env_for("/empty")
        status, = request
        raise "the application answers #{status}" unless status == 204
      end

      def calls
        { "request" => [self, "it.request"] }
      end

      def request
        answer = @application.call(@request.dup)
        # What was put around the request ends here.
        answer.last.close if answer.last.respond_to?(:close)
        answer
      end

      def flush; end

      private

      def load_gem(_endpoint); end
    end

    # The same, and this gem as it is without any setting.
    class RailsWithMetrics < BareRails
      WITH = ", tasker_telemetry with metrics"

      private

      def load_gem(endpoint)
        require "tasker_telemetry"
        TaskerTelemetry.configure do |config|
          config.service_name = "bench"
          config.metrics.arena = File.join(@directory, "bench.arena")
          configure(config, endpoint)
        end
      end

      def configure(config, endpoint); end
    end

    # The same, and a span for each request.
    class RailsWithTraces < RailsWithMetrics
      WITH = ", tasker_telemetry with metrics and traces"

      def initialize(directory)
        super
        require "tasker_telemetry"
      end

      def flush
        TaskerTelemetry.flush(timeout: 30) or raise "not everything was sent"
      end

      private

      def configure(config, endpoint)
        config.traces.enabled = true
        config.traces.endpoint = endpoint
      end
    end
  end
end
