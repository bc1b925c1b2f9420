# frozen_string_literal: true

require "tasker_telemetry/options"

module TaskerTelemetry
  class Configuration < Options
    # `config.traces`: spans, sent by OTLP. What is not set here is taken from OpenTelemetry's own variables.
    class Traces < Options
      # @!attribute enabled
      #   @return [Boolean] true is enough: nothing has to be subscribed by hand
      option :enabled, Types::BOOLEAN, default: false

      # @!attribute endpoint
      #   @return [String, nil] the collector's base URL; over HTTP /v1/traces is appended unless it has a path.
      #     Default: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT, else this machine's collector
      option :endpoint, Types::URL, shown: Text.method(:shown_url)

      # @!attribute protocol
      #   @return [Symbol, nil] :http_protobuf or :grpc.
      #     Default: OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL, else :http_protobuf
      option :protocol, Types::OTLP_PROTOCOL

      # @!attribute headers
      #   @return [Hash{String => String}, nil] sent with every request.
      #     Default: OTEL_EXPORTER_OTLP_TRACES_HEADERS, OTEL_EXPORTER_OTLP_HEADERS
      option :headers, Types::HEADERS, secret: true

      # @!attribute sample_ratio
      #   @return [Float, nil] the share of traces that is kept where nobody decided before, from 0 to 1.
      #     Default: what OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say, else 1
      option :sample_ratio, Types::RATIO

      # @!attribute queue_size
      #   @return [Integer, nil] spans that wait to be sent, at most. Default: OTEL_BSP_MAX_QUEUE_SIZE, else 2048
      option :queue_size, Types::COUNT

      # @!attribute net_http
      #   @return [Boolean] whether requests made with Net::HTTP become spans and carry the trace to who is asked
      option :net_http, Types::BOOLEAN, default: false

      # @api private
      # @return [Hash] what the native side is told
      def to_native
        { enabled: enabled, endpoint: endpoint, protocol: protocol&.name, headers: headers,
          sample_ratio: sample_ratio, queue_size: queue_size }
      end
    end
  end
end
