# frozen_string_literal: true

require "tasker_telemetry/options"

module TaskerTelemetry
  class Configuration < Options
    # `config.instrumentation`: which libraries are counted, where they are there. Read when a Rails application has run
    # its initializers, elsewhere by {TaskerTelemetry::Instrumentation.install}; later changes change nothing.
    class Instrumentation < Options
      # @!attribute rack
      #   @return [Boolean] whether a Rails application has {TaskerTelemetry::Middleware} by itself
      option :rack, Types::BOOLEAN, default: true

      # @!attribute action_controller
      #   @return [Boolean] view and database time of actions
      option :action_controller, Types::BOOLEAN, default: true

      # @!attribute active_record
      #   @return [Boolean] queries and connection pools
      option :active_record, Types::BOOLEAN, default: true

      # @!attribute active_job
      #   @return [Boolean] jobs: runs, enqueuing, retries, latency
      option :active_job, Types::BOOLEAN, default: true

      # @!attribute action_mailer
      #   @return [Boolean] deliveries of mails
      option :action_mailer, Types::BOOLEAN, default: true

      # @!attribute active_storage
      #   @return [Boolean] operations of storage services
      option :active_storage, Types::BOOLEAN, default: true

      # @!attribute cache
      #   @return [Boolean] operations of cache stores
      option :cache, Types::BOOLEAN, default: true

      # @!attribute sidekiq
      #   @return [Boolean] Sidekiq's own jobs, and its queues
      option :sidekiq, Types::BOOLEAN, default: true

      # @!attribute puma
      #   @return [Boolean] the server's threads and backlog
      option :puma, Types::BOOLEAN, default: true

      # @!attribute interval
      #   @return [Float] seconds after which a process that serves, or performs Sidekiq's jobs, reads its pools,
      #     threads and queues again without being scraped
      option :interval, Types::SECONDS, default: 10
    end
  end
end
