# frozen_string_literal: true

module TaskerTelemetry
  module Tracing
    # A span for each request that a Rack application answers, in the trace that the client sent along, if it did.
    # Attributes are those of OpenTelemetry's conventions for HTTP servers. Neither the query nor any header is among
    # them: they hold what is nobody's business.
    #
    # @api private
    module Requests
      # Where Rails keeps the exception that an answer tells of, once it has come by who answers it.
      ANSWERED = "action_dispatch.exception"
      # The same for the page that shows it to developers.
      SHOWN = "tasker_telemetry.exception"
      private_constant :ANSWERED, :SHOWN

      class << self
        # @param env [Hash] Rack's
        # @param verb [String] the method, one of those that are known
        # @return [Span, nil] nil while traces are off
        def start(env, verb)
          return unless Native.traces?

          parent = env["HTTP_TRACEPARENT"]
          attributes = { "http.request.method" => verb, "url.path" => "#{env["SCRIPT_NAME"]}#{env["PATH_INFO"]}",
                         "url.scheme" => env["rack.url_scheme"] }
          Tracing.start(verb, attributes, :server, parent && [parent, env["HTTP_TRACESTATE"]])
        end

        # An interceptor of ActionDispatch::DebugExceptions.
        #
        # @param request [ActionDispatch::Request]
        # @param error [Exception]
        def raised(request, error)
          request.env[SHOWN] = error
        end

        # @param span [Span]
        # @param env (see .start)
        # @param name [String] which action it was, where one ran
        # @param status [Integer, nil] nil where only the server knows it
        # @param error [Exception, nil] what came out of the application; one that it answered itself is in the env
        def finish(span, env, name, status, error)
          span.name = name
          span["http.response.status_code"] = status if status
          # OpenTelemetry's conventions: of a server's span a 4xx is no error.
          if status && status >= 500
            span.error!
            error ||= env[ANSWERED] || env[SHOWN]
          end
          span.record_exception(error) if error
          span.finish
        end
      end
    end
  end
end
