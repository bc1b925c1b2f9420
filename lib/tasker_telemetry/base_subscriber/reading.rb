# frozen_string_literal: true

require "tasker_telemetry/event"
require "tasker_telemetry/base_subscriber/problem"
require "tasker_telemetry/base_subscriber/timing"

module TaskerTelemetry
  class BaseSubscriber
    # Helpers that read events. Each takes an {Event}, or the payload that `handle_event` is given, and finds values
    # under Symbols and Strings alike.
    module Reading
      # Label to the key of the payload.
      TAGS = { task: :task_name, step: :step_name, namespace: :namespace, environment: :environment, source: :source,
               priority: :priority, retryable: :retryable }.freeze
      LONGEST_TAG = 100
      private_constant :TAGS, :LONGEST_TAG

      class << self
        # @api private
        # @return [Hash]
        def payload_of(event)
          event.is_a?(Event) ? event.payload : event
        end

        # @api private
        # @return [Hash{Symbol => String}]
        def tags_of(event)
          TAGS.transform_values { |key| tag(Event.read(payload_of(event), key)) }
        end

        private

        def tag(value)
          case value
          when String, Symbol, Numeric, true, false, Module then Text.of(value)[0, LONGEST_TAG]
          else ""
          end
        end
      end

      protected

      # @param payload [Hash, Event]
      # @param key [Symbol, String] a value under the other kind is found too
      # @param default [Object]
      # @return [Object] the default where there is none, or nil
      def safe_get(payload, key, default = nil)
        value = Event.read(Reading.payload_of(payload), key)
        value.nil? ? default : value
      end

      # When it began and ended and what it took, as far as the payload tells; else the time of the block that it was
      # published around.
      #
      # @param event [Event, Hash]
      # @return [Hash{Symbol => Object}] duration: (seconds), started_at: and completed_at: (Time), nil where unknown
      def timing(event)
        Timing.new(event).to_h
      end

      # What went wrong, wherever the payload has it.
      #
      # @param event [Event, Hash]
      # @return [Hash{Symbol => Object}] class:, message: (without secrets), attempt: and retryable:, nil where
      #   unknown, and category: "timeout", "network", "not_found", "auth", "rate_limit", "client_error",
      #   "server_error", "runtime", "other", or "unknown" where there is no class
      def error_info(event)
        problem = Problem.new(Reading.payload_of(event))
        { class: problem.type, message: problem.message, attempt: problem.attempt, retryable: problem.retryable,
          category: problem.category }
      end

      # Labels for a metric: always the same ones, and none that is an id. What the payload does not tell is "".
      #
      # @param event [Event, Hash]
      # @return [Hash{Symbol => String}] task:, step:, namespace:, environment: (else that of the configuration),
      #   source:, priority: and retryable:
      def metric_tags(event)
        tags = Reading.tags_of(event)
        tags[:environment] = TaskerTelemetry.config.environment if tags[:environment].empty?
        tags
      end
    end
  end
end
