# frozen_string_literal: true

require "tasker_telemetry/options"

module TaskerTelemetry
  class Configuration < Options
    # `config.metrics.otlp`: the machine's metrics, pushed by one of its processes. What is not set here is taken from
    # OpenTelemetry's own variables.
    class Otlp < Options
      # @!attribute enabled
      #   @return [Boolean]
      option :enabled, Types::BOOLEAN, default: false

      # @!attribute endpoint
      #   @return [String, nil] the collector's base URL; over HTTP /v1/metrics is appended unless it has a path.
      #     Default: OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT, else this machine's collector
      option :endpoint, Types::URL, shown: Text.method(:shown_url)

      # @!attribute protocol
      #   @return [Symbol, nil] :http_protobuf or :grpc.
      #     Default: OTEL_EXPORTER_OTLP_METRICS_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL, else :http_protobuf
      option :protocol, Types::OTLP_PROTOCOL

      # @!attribute headers
      #   @return [Hash{String => String}, nil] sent with every request.
      #     Default: OTEL_EXPORTER_OTLP_METRICS_HEADERS, OTEL_EXPORTER_OTLP_HEADERS
      option :headers, Types::HEADERS, secret: true

      # @!attribute interval
      #   @return [Float, nil] seconds between two pushes. Default: OTEL_METRIC_EXPORT_INTERVAL, else 60
      option :interval, Types::SECONDS

      # @api private
      # @return [Hash] what the native side is told
      def to_native
        { enabled: enabled, endpoint: endpoint, protocol: protocol&.name, headers: headers, interval: interval }
      end
    end
  end
end
