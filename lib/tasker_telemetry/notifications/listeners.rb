# frozen_string_literal: true

require "tasker_telemetry/clock"
require "tasker_telemetry/isolation"

module TaskerTelemetry
  module Notifications
    # A listener whose exceptions do not reach who publishes.
    #
    # @api private
    class Guarded
      def initialize(listener)
        @listener = listener
        @label = Isolation.label(listener)
      end

      def start(name, id, payload)
        Isolation.guard(@label, name) { @listener.start(name, id, payload) }
      end

      def finish(name, id, payload)
        Isolation.guard(@label, name) { @listener.finish(name, id, payload) }
      end
    end

    # Tells a block of an event once, at its end: name, started, finished, id, payload. The times are of the wall clock,
    # what lies between them is of the monotonic one.
    #
    # @api private
    class Timed
      # The events under way in this fiber, of all such listeners together.
      STACK = :tasker_telemetry_listeners
      # More events within each other than anybody nests: left over from listeners that were unsubscribed in between.
      DEEPEST = 1_000

      Frame = Struct.new(:listener, :payload, :started, :clock)
      private_constant :STACK, :DEEPEST, :Frame

      def initialize(block, label = Isolation.label(block))
        @block = block
        @label = label
      end

      def start(_name, _id, payload)
        stack = (Thread.current[STACK] ||= [])
        stack.shift if stack.size >= DEEPEST
        stack.push(Frame.new(self, payload, Time.now, Clock.now))
      end

      def finish(name, id, payload)
        frame = take(payload)
        # Subscribed while the event was under way.
        return tell(name, now = Time.now, now, id, payload) unless frame

        tell(name, frame.started, (frame.started + (Clock.now - frame.clock)).round(9), id, payload)
      end

      # What ActiveSupport::Notifications.publish passes on, with times or without.
      def publish(name, *arguments)
        *times, id, payload = arguments.size == 4 ? arguments : [nil, nil, nil, arguments.last]
        return unless payload.is_a?(Hash)

        tell(name, *wall(*times), id, payload)
      end

      private

      # Events end in the reverse order of their beginning, but for those of listeners that came or went meanwhile.
      def take(payload)
        stack = Thread.current[STACK] or return
        index = stack.rindex { |frame| frame.listener.equal?(self) && frame.payload.equal?(payload) }
        stack.delete_at(index) if index
      end

      def tell(*event)
        Isolation.guard(@label, event.first) { @block.call(*event) }
      end

      # Monotonic times are numbers, of which only the difference says anything.
      def wall(started, finished)
        return [started, finished] if [started, finished].all?(Time)

        now = Time.now
        [[started, finished].all?(Numeric) ? now - (finished - started) : now, now]
      end
    end
  end
end
