# frozen_string_literal: true

require "rails/railtie"
require "tasker_telemetry/jobs"

module TaskerTelemetry
  # Makes the gem at home in a Rails application: requests and jobs are counted, `config.endpoint.path` is mounted, the
  # rake tasks are known.
  #
  # @api private
  class Railtie < ::Rails::Railtie
    # Stands in the middleware stack while it is not known whether requests are to be counted.
    module Undecided
      def self.new(app)
        TaskerTelemetry.config.instrumentation.rack ? Middleware.new(app) : app
      end
    end

    # What is known by now (the application's name, its environment, its root) becomes the default, before anything is
    # counted; the application's own initializers decide over it. One that wants a name of the built-in metrics, or a
    # default label of theirs, is told so at its own line.
    initializer "tasker_telemetry.defaults", before: :load_config_initializers do
      Railtie.settle_defaults
    end

    # After the application's initializers, so that what they put into the stack is further in.
    initializer "tasker_telemetry.requests", after: :load_config_initializers do |app|
      Railtie.count_requests(app)
      Railtie.mount_endpoint(app)
    end

    # By then the application has said which.
    initializer "tasker_telemetry.instrumentation", after: :load_config_initializers do
      Railtie.instrument
    end

    # What the application filters is whole once every initializer has run.
    config.after_initialize { TaskerTelemetry.configure }

    rake_tasks do
      load File.expand_path("../tasks/tasker_telemetry.rake", __dir__)
    end

    class << self
      # Required first in an initializer, the gem comes too late for its own initializers: the application has gathered
      # all of them already. Then everything is done on the spot.
      def catch_up
        started = false
        ActiveSupport.on_load(:before_initialize) { started = true }
        return unless started

        settle_defaults
        # What the application switches off, it does below the line that required the gem.
        ActiveSupport.on_load(:after_initialize) { Railtie.instrument }
        return too_late if ::Rails.application.initialized?

        ::Rails.application.config.middleware.insert_before(0, Undecided)
        mount_endpoint(::Rails.application)
      end

      def settle_defaults
        TaskerTelemetry.configure
        Middleware.instruments
        Jobs.instruments if defined?(::ActiveJob)
      rescue ConfigurationError => e
        Log.warn("what Rails tells cannot be the default: #{e.message}")
      end

      def instrument
        TaskerTelemetry.configure
        Instrumentation.install
        # An error that is shown to developers goes no further than to the page that shows it.
        return unless defined?(ActionDispatch::DebugExceptions)

        ActionDispatch::DebugExceptions.register_interceptor(Tracing::Requests.method(:raised))
      end

      def count_requests(app)
        return unless TaskerTelemetry.config.instrumentation.rack

        app.config.middleware.insert_before(0, TaskerTelemetry::Middleware)
      end

      # Before the application's own routes, which may end in one that catches all. The block runs whenever the routes
      # are loaded, so after every initializer.
      def mount_endpoint(app)
        app.routes.prepend do
          path = TaskerTelemetry.config.endpoint.path
          if path
            Endpoint.warn_if_open
            match path, to: Endpoint, via: :all, format: false, as: nil
          end
        end
      end

      private

      def too_late
        Log.warn("required after the Rails application was initialized: requests are not counted, " \
                 "and the endpoint is not mounted")
      end
    end

    catch_up
  end
end
