# frozen_string_literal: true

require "tasker_telemetry/instrumentation/family"

module TaskerTelemetry
  module Instrumentation
    # Listens to events of ActiveSupport::Notifications that have a beginning and an end. It is told of both, which
    # spares the arguments and the two Times of a block that is called at the end.
    #
    # @api private
    class Subscriber
      # Per fiber, where the events under way are: each payload, followed by when it began.
      UNDER_WAY = :tasker_telemetry_instrumented
      # More than nest. What is there beyond was begun and, since another subscriber raised at its beginning, never
      # ended.
      MOST = 200
      private_constant :UNDER_WAY, :MOST

      # @param name [Symbol] the instrumentation's
      def initialize(name)
        @name = name
      end

      # @return [self]
      def subscribe(*events)
        events.each { |event| ActiveSupport::Notifications.subscribe(event, self) }
        self
      end

      def start(_event, _id, payload)
        events = (Thread.current[UNDER_WAY] ||= [])
        events.clear if events.size > MOST
        events.push(payload, Clock.now)
      end

      def finish(event, _id, payload)
        seconds = elapsed(payload)
        record(event, payload, seconds) if seconds
      rescue StandardError => e
        Instrumentation.failed(@name, e)
      end

      # An event that is over, such as a query of `load_async` that ran in a thread of its own.
      def publish_event(event)
        record(event.name, event.payload, event.duration / 1000.0)
      rescue StandardError => e
        Instrumentation.failed(@name, e)
      end

      private

      # An event that began before the subscription has no beginning here.
      def elapsed(payload)
        events = Thread.current[UNDER_WAY] or return
        index = events.size - 2
        index -= 2 until index.negative? || events[index].equal?(payload)
        return if index.negative?

        events.pop(events.size - index - 2) if index < events.size - 2
        started = events.pop
        events.pop
        Clock.now - started
      end
    end
  end
end
