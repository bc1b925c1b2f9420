# frozen_string_literal: true

require "time"
require "tasker_telemetry/event"
require "tasker_telemetry/base_subscriber/problem"

module TaskerTelemetry
  class BaseSubscriber
    # Helpers that read events. Each takes an {Event}, or the payload that `handle_event` is given, and finds values
    # under Symbols and Strings alike.
    module Reading
      # Seconds.
      DURATIONS = %i[duration execution_duration total_execution_duration].freeze
      # What an event that was published without a block takes at most.
      OWN_TIME = 0.001
      # Label to the key of the payload.
      TAGS = { task: :task_name, step: :step_name, namespace: :namespace, environment: :environment, source: :source,
               priority: :priority, retryable: :retryable }.freeze
      LONGEST_TAG = 100
      private_constant :DURATIONS, :OWN_TIME, :TAGS, :LONGEST_TAG

      protected

      # @param payload [Hash, Event]
      # @param key [Symbol, String] a value under the other kind is found too
      # @param default [Object]
      # @return [Object] the default where there is none, or nil
      def safe_get(payload, key, default = nil)
        value = Event.read(payload_of(payload), key)
        value.nil? ? default : value
      end

      # When it began and ended and what it took, as far as the payload tells; else the time of the block that it was
      # published around.
      #
      # @param event [Event, Hash]
      # @return [Hash{Symbol => Object}] duration: (seconds), started_at: and completed_at: (Time), nil where unknown
      def timing(event)
        told = told_times(event)
        times = { duration: nil, started_at: nil, completed_at: nil }.merge(own_times(event), told)
        times[:duration] = told_duration(event) || between(told[:started_at], times[:completed_at]) || times[:duration]
        times
      end

      # What went wrong, wherever the payload has it.
      #
      # @param event [Event, Hash]
      # @return [Hash{Symbol => Object}] class:, message: (without secrets), attempt: and retryable:, nil where
      #   unknown, and category: "timeout", "network", "not_found", "auth", "rate_limit", "client_error",
      #   "server_error", "runtime", "other", or "unknown" where there is no class
      def error_info(event)
        problem = Problem.new(payload_of(event))
        { class: problem.type, message: problem.message, attempt: problem.attempt, retryable: problem.retryable,
          category: problem.category }
      end

      # Labels for a metric: always the same ones, and none that is an id. What the payload does not tell is "".
      #
      # @param event [Event, Hash]
      # @return [Hash{Symbol => String}] task:, step:, namespace:, environment: (else that of the configuration),
      #   source:, priority: and retryable:
      def metric_tags(event)
        tags = TAGS.transform_values { |key| tag_of(safe_get(event, key)) }
        tags[:environment] = TaskerTelemetry.config.environment if tags[:environment].empty?
        tags
      end

      private

      def payload_of(event)
        event.is_a?(Event) ? event.payload : event
      end

      def told_duration(event)
        DURATIONS.filter_map { |key| seconds_of(safe_get(event, key)) }.first
      end

      def told_times(event)
        { started_at: time_of(safe_get(event, :started_at)),
          completed_at: time_of(safe_get(event, :completed_at) || safe_get(event, :transitioned_at)) }.compact
      end

      def between(started, completed)
        seconds_of(completed - started) if started && completed
      end

      # Those of the event itself; only its end, unless a block was run within it.
      def own_times(event)
        return {} unless event.is_a?(Event)
        return { completed_at: event.finished } if event.duration.to_f < OWN_TIME

        { duration: event.duration, started_at: event.started, completed_at: event.finished }
      end

      # Seconds since the epoch, or text in ISO 8601, or whatever knows the time that it is.
      def time_of(value)
        case value
        when Time then value
        when Numeric then Time.at(value)
        when String then Time.iso8601(value)
        else value.to_time if value.respond_to?(:to_time)
        end
      rescue ArgumentError, RangeError, TypeError
        nil
      end

      def seconds_of(value)
        seconds = value.to_f if value.is_a?(Numeric) && value.real?
        seconds if seconds&.finite? && !seconds.negative?
      end

      def tag_of(value)
        case value
        when String, Symbol, Numeric, true, false, Module then Text.of(value)[0, LONGEST_TAG]
        else ""
        end
      end
    end
  end
end
