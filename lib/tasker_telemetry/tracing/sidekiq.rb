# frozen_string_literal: true

require "tasker_telemetry/tracing"

module TaskerTelemetry
  module Tracing
    # Spans of Sidekiq's own jobs: one where a job is pushed, one for each run, in one trace. A job that came through
    # ActiveJob has them from {Jobs}.
    #
    # @api private
    module Sidekiq
      def self.attributes(job, queue)
        { "messaging.system" => "sidekiq", "messaging.destination.name" => queue.to_s,
          "messaging.message.id" => job["jid"], "code.namespace" => job["class"].to_s }
      end

      # Where jobs are pushed. One that was scheduled, or failed, is pushed again when it is due, by whatever process
      # finds it, or by a person from a page: it stays in the trace that it was first pushed in.
      class Client
        def call(_class, job, queue, _pool = nil)
          return yield if !Native.traces? || job["wrapped"] || Tracing.carried(job)

          Tracing.in_span("#{job["class"]} publish", Sidekiq.attributes(job, queue), :producer) do
            job.merge!(Tracing.headers)
            yield
          end
        end
      end

      # Where jobs run.
      class Server
        def call(_worker, job, queue, &block)
          return yield if !Native.traces? || job["wrapped"]

          Tracing.in_span("#{job["class"]} process", Sidekiq.attributes(job, queue), :consumer, Tracing.carried(job)) do
            block.call
          end
        end
      end

      # Does nothing the second time.
      def self.install
        return if @installed

        @installed = true
        ::Sidekiq.configure_client { |config| config.client_middleware { |chain| chain.add(Client) } }
        ::Sidekiq.configure_server do |config|
          config.client_middleware { |chain| chain.add(Client) }
          config.server_middleware { |chain| chain.add(Server) }
        end
      end
    end
  end
end
