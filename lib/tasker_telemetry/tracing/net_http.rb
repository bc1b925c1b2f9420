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
        return super unless started? && NetHTTP.on?

        attributes = { "http.request.method" => request.method, **NetHTTP.server(self),
                       "url.path" => request.path.to_s[/\A[^?#]*/] }
        Tracing.in_span(request.method, attributes, :client) do |span|
          Tracing.headers.each { |name, value| request[name] = value }
          super.tap { |response| NetHTTP.answered(span, response.code.to_i) }
        end
      end

      private

      # Of a connection that cannot be opened no request will tell. One that is opened again, because the server has
      # closed it, belongs to the request that goes on.
      def connect
        return super if started? || !NetHTTP.on?

        began = Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)
        begin
          super
        rescue Exception => e # rubocop:disable Lint/RescueException -- Timeout's, and whatever else ended it
          Native.failed_span("connect", NetHTTP.server(self), "client", began, e)
          raise
        end
      end

      class << self
        def on?
          Native.traces? && TaskerTelemetry.config.traces.net_http
        end

        # @param http [Net::HTTP]
        def server(http)
          { "server.address" => http.address, "server.port" => http.port }
        end

        # OpenTelemetry's conventions: of a client's span a 4xx is an error too.
        def answered(span, status)
          span["http.response.status_code"] = status
          span.error! if status >= 400
        end

        # Does nothing the second time.
        def install
          require "net/http"
          ::Net::HTTP.prepend(self) unless ::Net::HTTP < self
        end
      end
    end
  end
end
