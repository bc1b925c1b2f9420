# frozen_string_literal: true

require "tasker_telemetry/text"
require "tasker_telemetry/event"

module TaskerTelemetry
  # The id that what belongs together bears in the log. It goes with the fiber.
  #
  # @api private
  module Correlation
    ID = :tasker_telemetry_correlation_id
    REQUEST = :tasker_telemetry_request
    LONGEST = 255
    private_constant :ID, :REQUEST, :LONGEST

    class << self
      # @see TaskerTelemetry.with_correlation_id
      def with(id)
        outside = Thread.current[ID]
        Thread.current[ID] = clean(id)
        yield
      ensure
        Thread.current[ID] = outside
      end

      # @see TaskerTelemetry.correlation_id
      def current
        Thread.current[ID] || request_id
      end

      # @param payload [Hash] of an event
      # @return [String, nil] the payload's own, else the current one, else that of the request the payload tells of
      def of(payload)
        clean(Event.read(payload, :correlation_id)) || current || clean(Event.read(payload, :request_id))
      end

      # Remembers the request that this fiber answers from now on.
      #
      # @param env [Hash] Rack's
      # @return [Hash, nil] the one before, for {.leave}
      def enter(env)
        outside = Thread.current[REQUEST]
        Thread.current[REQUEST] = env
        outside
      end

      def leave(outside)
        Thread.current[REQUEST] = outside
      end

      private

      # Rails gives a request its id further in. Elsewhere the header is what there is.
      def request_id
        env = Thread.current[REQUEST] or return
        clean(env["action_dispatch.request_id"] || env["HTTP_X_REQUEST_ID"])
      end

      # It may come from outside, and goes into lines: one word, not too long.
      def clean(id)
        return if id.nil?

        id = Text.of(id).gsub(/[[:cntrl:]]|[[:space:]]/, "")[0, LONGEST]
        id unless id.empty?
      end
    end
  end
end
