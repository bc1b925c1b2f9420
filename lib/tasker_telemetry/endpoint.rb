# frozen_string_literal: true

require "securerandom"
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
        new(TaskerTelemetry.config).call(env)
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

    # @param config [Configuration]
    def initialize(config)
      @config = config
    end

    # @api private
    # @param env [Hash] Rack's. It holds credentials, so it is kept in no object: an error might show that.
    # @return [Array] Rack's response
    def call(env)
      started = Clock.now
      status, headers, body = answer(env, started)
      [status, headers, env["REQUEST_METHOD"] == "HEAD" ? [] : body]
    end

    private

    def answer(env, started)
      return refuse(405, "GET or HEAD, please", "allow" => METHODS.join(", ")) unless
        METHODS.include?(env["REQUEST_METHOD"])

      self.class.warn_if_open(@config)
      refusal = Protection.new(@config.endpoint).refusal(env)
      return refuse(refusal.status, refusal.reason, refusal.headers) if refusal
      return refuse(503, "metrics are switched off (config.metrics.enabled)") unless @config.metrics.enabled

      page(env, started)
    end

    def page(env, started)
      format = Negotiation.format(env["HTTP_ACCEPT"])
      gzip = Negotiation.gzip?(env["HTTP_ACCEPT_ENCODING"])
      page = MetricsBackend.instance.page(format) unless env["REQUEST_METHOD"] == "HEAD"
      [200, headers(format, gzip), page && Body.new(page, started, gzip: gzip)]
    rescue StandardError => e
      Log.limited(:endpoint, :error) { "the page could not be rendered: #{Failure.describe(e)}" }
      refuse(503, "the page could not be rendered; the log has the reason")
    end

    def headers(format, gzip)
      {
        "content-type" => Native.formats.fetch(format),
        "cache-control" => "no-store",
        "vary" => "accept, accept-encoding",
        # Keeps Rack::ETag of Rack 2, part of every Rails application, from collecting the whole page to digest it. No
        # two pages have the same, so that no condition of a client's ever makes a 304 of one.
        "etag" => %(W/"#{SecureRandom.hex(8)}"),
        **(gzip ? { "content-encoding" => "gzip" } : {})
      }
    end

    def refuse(status, reason, headers = {})
      headers = { "content-type" => "text/plain; charset=utf-8", "cache-control" => "no-store", **headers }
      [status, headers, ["#{reason}\n"]]
    end
  end
end
