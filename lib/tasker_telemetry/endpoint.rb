# frozen_string_literal: true

require "time"
require "tasker_telemetry/endpoint/body"
require "tasker_telemetry/endpoint/negotiation"
require "tasker_telemetry/endpoint/protection"

module TaskerTelemetry
  # A Rack application that answers with the page of this machine: `run TaskerTelemetry::Endpoint`, or in a Rails
  # application `config.endpoint.path = "/metrics"`. It prints Prometheus text, OpenMetrics or JSON, as the client's
  # Accept header asks. `config.endpoint` says who may read it.
  class Endpoint
    METHODS = %w[GET HEAD].freeze
    private_constant :METHODS

    class << self
      # @param env [Hash] Rack's
      # @return [Array] Rack's response
      def call(env)
        new(env).call
      end

      # Says once that anyone may read the page.
      #
      # @api private
      def warn_if_open(config = TaskerTelemetry.config)
        return if @warned || config.environment != "production" || config.endpoint.protections.any?

        @warned = true
        Log.warn("the metrics endpoint is open to everyone who can reach it: set config.endpoint.token, username and " \
                 "password, allow, or authorize")
      end
    end

    # @param env [Hash] Rack's
    def initialize(env)
      @env = env
      @config = TaskerTelemetry.config
    end

    # @api private
    # @return [Array] Rack's response
    def call
      started = Clock.now
      return refuse(405, "GET or HEAD, please", "allow" => METHODS.join(", ")) unless METHODS.include?(verb)

      self.class.warn_if_open(@config)
      refusal = Protection.new(@config.endpoint).refusal(@env)
      return refuse(refusal.status, refusal.reason, refusal.headers) if refusal
      return refuse(503, "metrics are switched off (config.metrics.enabled)") unless @config.metrics.enabled

      answer(started)
    end

    private

    def verb
      @env["REQUEST_METHOD"]
    end

    def answer(started)
      format = Negotiation.format(@env["HTTP_ACCEPT"])
      gzip = Negotiation.gzip?(@env["HTTP_ACCEPT_ENCODING"])
      body = verb == "HEAD" ? [] : Body.new(MetricsBackend.instance.page(format), started, gzip: gzip)
      [200, headers(format, gzip), body]
    rescue StandardError => e
      Log.limited(:endpoint, :error) { "the page could not be rendered: #{Failure.describe(e)}" }
      refuse(503, "the page could not be rendered; the log has the reason")
    end

    def headers(format, gzip)
      {
        "content-type" => Native.formats.fetch(format),
        "cache-control" => "no-store",
        "vary" => "accept, accept-encoding",
        # Keeps Rack::ETag of Rack 2, part of every Rails application, from collecting the whole page to digest it.
        "last-modified" => Time.now.httpdate,
        **(gzip ? { "content-encoding" => "gzip" } : {})
      }
    end

    def refuse(status, reason, headers = {})
      body = verb == "HEAD" ? [] : ["#{reason}\n"]
      [status, { "content-type" => "text/plain; charset=utf-8", "cache-control" => "no-store", **headers }, body]
    end
  end
end
