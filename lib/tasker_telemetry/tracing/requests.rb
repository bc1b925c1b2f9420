# frozen_string_literal: true

module TaskerTelemetry
  module Tracing
    # A span for each request that a Rack application answers, in the trace that the client sent along, if it did.
    # Attributes are those of OpenTelemetry's conventions for HTTP servers. Neither the query nor any header is among
    # them: they hold what is nobody's business.
    #
    # @api private
    module Requests
      class << self
        # @param env [Hash] Rack's
        # @param verb [String] the method, one of those that are known
        # @return [Span, nil] nil while traces are off
        def start(env, verb)
          return unless Native.traces?

          parent = env["HTTP_TRACEPARENT"]
          attributes = { "http.request.method" => verb, "url.path" => env["PATH_INFO"],
                         "url.scheme" => env["rack.url_scheme"] }
          Tracing.start(verb, attributes, :server, parent && [parent, env["HTTP_TRACESTATE"]])
        end

        # @param span [Span]
        # @param controller [String] empty where no action ran
        # @param status [Integer, nil] nil where only the server knows it
        # @param error [Exception, nil]
        def finish(span, verb, controller, action, status, error)
          span.name = "#{verb} #{controller}##{action}" unless controller.empty?
          span["http.response.status_code"] = status if status
          # OpenTelemetry's conventions: of a server's span a 4xx is no error.
          span.error! if status && status >= 500
          span.record_exception(error) if error
          span.finish
        end
      end
    end
  end
end
