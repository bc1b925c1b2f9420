# frozen_string_literal: true

module TaskerTelemetry
  # What is counted of the libraries that an application uses, each behind a switch of its own
  # (`config.instrumentation`). A Rails application has it by itself; elsewhere {.install} is called once the libraries
  # are loaded and the configuration is made.
  module Instrumentation
    # Those that say by a load hook of ActiveSupport when they are there.
    HOOKED = %i[action_controller active_record active_job action_mailer].freeze
    # How the others are known to be there.
    PRESENT = {
      active_storage: -> { defined?(::ActiveStorage) },
      cache: -> { defined?(::ActiveSupport::Notifications) },
      sidekiq: -> { defined?(::Sidekiq.configure_server) },
      # Bundler loads what is in the Gemfile everywhere; the server itself is loaded where one is to run.
      puma: -> { defined?(::Puma::Server) && (!::Puma.autoload?(:Server) || defined?(::Rails::Server)) }
    }.freeze
    NAMES = [*HOOKED, *PRESENT.keys].freeze
    private_constant :HOOKED, :PRESENT, :NAMES

    @installed = {}

    class << self
      # Begins to count what those libraries do that are loaded by now, and whose switch is on. Those of Rails may come
      # later. The switches are read here: what is installed stays, and what was installed is not done again.
      #
      # @param names [Array<Symbol>] which; none means all, and that traces go along with jobs as well
      # @raise [ArgumentError] for a name that is none of them
      # @return [nil]
      def install(*names)
        unknown = names - NAMES
        raise ArgumentError, "no instrumentation: #{unknown.inspect}; accepted: #{NAMES.inspect}" if unknown.any?

        # Libraries bring ActiveSupport with them.
        Notifications.bus
        Tracing.install if names.empty?
        switches = TaskerTelemetry.config.instrumentation
        (names.empty? ? NAMES : names).each { |name| look_for(name) if switches.public_send(name) }
        nil
      end

      # Runs what an instrumentation does within the application. The application is not to notice when it fails.
      #
      # @api private
      def guard(name)
        yield
      rescue StandardError => e
        failed(name, e)
      end

      # @api private
      # @return [nil]
      def failed(name, error)
        OwnMetrics::INSTRUMENTATION_ERRORS.increment(instrumentation: name)
        Log.limited([:instrumentation, name], :error) { "#{name} could not be counted: #{Failure.describe(error)}" }
      end

      private

      def look_for(name)
        HOOKED.include?(name) ? await(name) : PRESENT[name].call && begin_with(name)
      end

      def await(name)
        return unless defined?(::ActiveSupport)

        require "active_support/lazy_load_hooks"
        ActiveSupport.on_load(name) { Instrumentation.send(:begin_with, name) }
      end

      # An application may have a metric of the same name, or a default label that is one of ours: then it goes without
      # this instrumentation.
      def begin_with(name)
        return if @installed.key?(name)

        @installed[name] = true
        require "tasker_telemetry/instrumentation/#{name}"
        const_get(name.to_s.split("_").map(&:capitalize).join).install
      rescue StandardError, LoadError => e
        Log.error("#{name} is not counted: #{Failure.describe(e)}")
      end
    end
  end
end
