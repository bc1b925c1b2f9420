# frozen_string_literal: true

require "tasker_telemetry/options"
require "tasker_telemetry/configuration/defaults"
require "tasker_telemetry/configuration/metrics"
require "tasker_telemetry/configuration/endpoint"
require "tasker_telemetry/configuration/traces"
require "tasker_telemetry/configuration/logs"
require "tasker_telemetry/configuration/instrumentation"

module TaskerTelemetry
  # What a person decided in {TaskerTelemetry.configure}, and the defaults for the rest.
  class Configuration < Options
    # @!attribute service_name
    #   @return [String] the application's name; processes with the same name and environment count together.
    #     Default: OTEL_SERVICE_NAME, else the Rails application's name, else "app"
    option :service_name, Types::NAME, default: Defaults.method(:service_name)

    # @!attribute environment
    #   @return [String] default: Rails.env, else RACK_ENV, else "development"
    option :environment, Types::NAME, default: Defaults.method(:environment)

    # @!attribute strict
    #   @return [Boolean] true: a bad sample raises {InvalidSample}; false: it is counted and logged.
    #     Default: true in Rails' development and test environments
    option :strict, Types::BOOLEAN, default: Defaults.method(:strict)

    # @!attribute logger
    #   @return [Logger, nil] default: Rails.logger, else a Logger on standard error
    option :logger, Types::LOGGER, opaque: true

    # @!attribute filter_parameters
    #   @return [Array<String, Symbol, Regexp, #call>] what spans, logs and errors must not show, as Rails'
    #     `config.filter_parameters`, to which these are added. Without Rails, or where it has none, they are added to
    #     passw, secret, token, _key, crypt, salt, certificate, otp and ssn
    option :filter_parameters, Types::FILTERS, default: [].freeze

    # @!attribute filter_mask
    #   @return [String] what stands in the place of what is filtered
    option :filter_mask, Types::NAME, default: "[FILTERED]"

    # @!attribute [r] metrics
    #   @return [Metrics]
    group :metrics, Metrics

    # @!attribute [r] endpoint
    #   @return [Endpoint]
    group :endpoint, Endpoint

    # @!attribute [r] traces
    #   @return [Traces]
    group :traces, Traces

    # @!attribute [r] logs
    #   @return [Logs]
    group :logs, Logs

    # @!attribute [r] instrumentation
    #   @return [Instrumentation]
    group :instrumentation, Instrumentation

    def initialize(path = "config")
      super
    end

    # @api private
    # @return [Hash] what the native side is told
    def to_native
      { service: service_name, environment: environment, fallback_dir: Defaults.application_tmp,
        process: { "process.runtime.name" => RUBY_ENGINE, "process.runtime.version" => RUBY_VERSION,
                   "telemetry.sdk.language" => "ruby" },
        traces: traces.to_native }
        .merge(metrics.to_native)
    end
  end
end
