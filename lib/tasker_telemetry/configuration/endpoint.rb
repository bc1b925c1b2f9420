# frozen_string_literal: true

require "tasker_telemetry/options"

module TaskerTelemetry
  class Configuration < Options
    # `config.endpoint`: where {TaskerTelemetry::Endpoint} is mounted in a Rails application, and who may read it.
    # Of token and username with password either is enough; `allow` and `authorize` must agree beside them.
    class Endpoint < Options
      # @!attribute path
      #   @return [String, nil] "/metrics" mounts the endpoint in the Rails application
      option :path, Types::URL_PATH

      # @!attribute token
      #   @return [String, nil] asked for as `Authorization: Bearer <token>`
      option :token, Types::TOKEN, secret: true

      # @!attribute username
      #   @return [String, nil] asked for by basic authentication, together with the password
      option :username, Types::USERNAME

      # @!attribute password
      #   @return [String, nil]
      option :password, Types::SECRET, secret: true

      # @!attribute allow
      #   @return [Array<IPAddr>, nil] the networks that may ask, by the connection's own address (REMOTE_ADDR)
      option :allow, Types::NETWORKS

      # @!attribute authorize
      #   @return [#call, nil] is given the Rack env; a true value lets the request through
      option :authorize, Types::CALLABLE, opaque: true

      # @api private
      # @raise [ConfigurationError] when half of a pair is missing
      # @return [self]
      def validate!
        super
        given, missing = %i[username password].partition { |name| public_send(name) }
        return self unless given.one?

        raise ConfigurationError, "#{@path}.#{given.first} needs #{@path}.#{missing.first} beside it"
      end

      # @api private
      # @return [Array<Symbol>] the kinds of protection that are set
      def protections
        { token: token, basic: username, allow: allow, authorize: authorize }.compact.keys
      end
    end
  end
end
