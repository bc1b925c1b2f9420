# frozen_string_literal: true

require "time"
require "tasker_telemetry/event"

module TaskerTelemetry
  class BaseSubscriber
    # When what an event tells of began and ended: what the payload says comes before what the event itself knows.
    #
    # @api private
    class Timing
      # Keys of durations in seconds, the one that is meant first.
      DURATIONS = %i[duration execution_duration total_execution_duration].freeze
      # What an event that was published without a block takes at most.
      OWN_TIME = 0.001
      private_constant :DURATIONS, :OWN_TIME

      # @param event [Event, Hash]
      def initialize(event)
        @event = event if event.is_a?(Event)
        @payload = Reading.payload_of(event)
      end

      # @return [Hash{Symbol => Object}] duration: (seconds), started_at: and completed_at: (Time), nil where unknown
      def to_h
        told = told_times
        times = { duration: nil, started_at: nil, completed_at: nil }.merge(own_times, told)
        times[:duration] = told_duration || between(told[:started_at], times[:completed_at]) || times[:duration]
        times
      end

      private

      def read(key)
        Event.read(@payload, key)
      end

      def told_duration
        DURATIONS.filter_map { |key| seconds_of(read(key)) }.first
      end

      def told_times
        { started_at: time_of(read(:started_at)),
          completed_at: time_of(read(:completed_at) || read(:transitioned_at)) }.compact
      end

      def between(started, completed)
        seconds_of(completed - started) if started && completed
      end

      # Those of the event itself; only its end, unless a block was run within it.
      def own_times
        return {} unless @event
        return { completed_at: @event.finished } if @event.duration.to_f < OWN_TIME

        { duration: @event.duration, started_at: @event.started, completed_at: @event.finished }
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
    end
  end
end
