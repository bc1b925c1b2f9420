# frozen_string_literal: true

require "tasker_telemetry/options"

module TaskerTelemetry
  class Configuration < Options
    # The values of options that nobody set. They are read when a configuration is settled, not when this file is
    # loaded: the gem may be required before the Rails application exists.
    #
    # @api private
    module Defaults
      module_function

      def service_name
        present(ENV.fetch("OTEL_SERVICE_NAME", nil)) || rails_application_name || "app"
      end

      def environment
        rails_environment || present(ENV.fetch("RACK_ENV", nil)) || "development"
      end

      def strict
        %w[development test].include?(rails_environment)
      end

      # A test run must not count into the arena that a developer's server uses.
      def arena
        ENV.values_at("RAILS_ENV", "RACK_ENV").include?("test") ? :memory : :auto
      end

      # Where the arena goes when there is no /dev/shm.
      def application_tmp
        return unless defined?(::Rails.root) && ::Rails.root

        ::Rails.root.join("tmp").to_s
      end

      def rails_environment
        ::Rails.env.to_s if defined?(::Rails.env)
      end

      def rails_application_name
        return unless defined?(::Rails.application) && ::Rails.application

        application = ::Rails.application.class
        present((application.module_parent_name || application.name).to_s.underscore.tr("/", "-"))
      end

      def present(text)
        text unless text.nil? || text.empty?
      end
    end
  end
end
