# frozen_string_literal: true

require "tasker_telemetry/tracing"

module TaskerTelemetry
  module Tracing
    # A span for each request that Net::HTTP makes, and the trace on its way to whoever answers. On with
    # `config.traces.net_http`.
    #
    # @api private
    module NetHTTP
      def request(request, body = nil, &)
        # A connection that is not open yet opens itself and comes here again.
        return super unless started? && Native.traces? && TaskerTelemetry.config.traces.net_http

        attributes = { "http.request.method" => request.method, "server.address" => address, "server.port" => port,
                       "url.path" => request.path.to_s[/\A[^?#]*/] }
        Tracing.in_span(request.method, attributes, :client) do |span|
          Tracing.headers.each { |name, value| request[name] = value }
          super.tap { |response| NetHTTP.answered(span, response.code.to_i) }
        end
      end

      # OpenTelemetry's conventions: of a client's span a 4xx is an error too.
      def self.answered(span, status)
        span["http.response.status_code"] = status
        span.error! if status >= 400
      end

      # Does nothing the second time.
      def self.install
        require "net/http"
        ::Net::HTTP.prepend(self) unless ::Net::HTTP < self
      end
    end
  end
end
