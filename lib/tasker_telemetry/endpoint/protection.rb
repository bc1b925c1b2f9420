# frozen_string_literal: true

require "digest"
require "ipaddr"

module TaskerTelemetry
  class Endpoint
    # Whether a request may read the page.
    #
    # @api private
    class Protection
      Refusal = Struct.new(:status, :headers, :reason)

      REALM = 'realm="tasker_telemetry"'

      # @param settings [Configuration::Endpoint]
      def initialize(settings)
        @settings = settings
      end

      # @param env [Hash] Rack's
      # @return [Refusal, nil]
      def refusal(env)
        refused_address(env) || refused_credentials(env) || refused_by_application(env)
      end

      private

      def refused_address(env)
        return if @settings.allow.nil? || allowed?(env["REMOTE_ADDR"])

        Refusal.new(403, {}, "the address #{env["REMOTE_ADDR"].inspect} is not in config.endpoint.allow")
      end

      # An address that cannot be read (a Unix socket has none) is in no network.
      def allowed?(address)
        # native: on a dual-stack socket an IPv4 client shows as ::ffff:10.0.0.1.
        address = IPAddr.new(address.to_s.b).native
        @settings.allow.any? { |network| network.family == address.family && network.include?(address) }
      rescue ArgumentError
        false
      end

      def refused_credentials(env)
        return unless @settings.token || @settings.username

        authorization = env["HTTP_AUTHORIZATION"]
        return if bearer?(authorization) || basic?(authorization)

        reason = authorization ? "wrong credentials" : "credentials are needed"
        Refusal.new(401, { "www-authenticate" => challenges.join(", ") }, reason)
      end

      def challenges
        [(%(Bearer #{REALM}) if @settings.token), (%(Basic #{REALM}, charset="UTF-8") if @settings.username)].compact
      end

      def bearer?(authorization)
        token = credentials(authorization, "bearer") if @settings.token
        token && same?(token, @settings.token)
      end

      def basic?(authorization)
        encoded = credentials(authorization, "basic") if @settings.username
        return false unless encoded

        username, _, password = encoded.unpack1("m").partition(":")
        # Both are compared whatever the first comparison says, lest the time tell which one was wrong.
        same?(username, @settings.username) & same?(password, @settings.password)
      end

      def credentials(authorization, scheme)
        given, _, rest = authorization.to_s.b.partition(" ")
        rest.strip if given.casecmp?(scheme)
      end

      # Takes the same time wherever the two differ, and whatever their lengths are.
      def same?(given, expected)
        given = Digest::SHA256.digest(given).unpack("Q4")
        expected = Digest::SHA256.digest(expected).unpack("Q4")
        given.zip(expected).reduce(0) { |difference, (left, right)| difference | (left ^ right) }.zero?
      end

      def refused_by_application(env)
        return if @settings.authorize.nil? || @settings.authorize.call(env)

        Refusal.new(403, {}, "config.endpoint.authorize refused the request")
      rescue *Failure::PASSING
        raise
      rescue Exception => e # rubocop:disable Lint/RescueException -- it is code of the application's
        # Its words may be about what the request carries: they are not for a log.
        Log.limited(:authorize, :error) { "config.endpoint.authorize raised #{e.class}" }
        Refusal.new(503, {}, "config.endpoint.authorize failed; the log has the reason")
      end
    end
  end
end
