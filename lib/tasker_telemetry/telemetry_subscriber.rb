# frozen_string_literal: true

require "tasker_telemetry/notifications"

module TaskerTelemetry
  # Turns the events that {EventRouter} routes into metrics, spans and log lines. It is attached by itself, to
  # ActiveSupport::Notifications or, where that is absent, to the gem's own bus; both hand their events to the native
  # side, which decides and does the rest.
  class TelemetrySubscriber
    # Stands for the names that are routed. It has to be a Regexp, for ActiveSupport takes nothing else that is not a
    # name; which names fit is the router's to say.
    class Routed < Regexp
      # @param name [String, Symbol]
      # @return [Boolean]
      def ===(name)
        name = name.name if name.is_a?(Symbol)
        name.is_a?(String) && Native.event_routed?(name)
      end
      alias match? ===
    end
    private_constant :Routed

    class << self
      # Listens to the events of this process, those of ActiveSupport if that was loaded since the last time. To each it
      # listens once, so nothing is counted twice.
      #
      # @return [nil]
      def attach
        @attach ||= Notifications.subscribe(Routed.new(""), Native::SUBSCRIBER, isolated: false)
        Notifications.bus
        nil
      end

      # Listens to a publisher of another kind as well.
      #
      # @param publisher [#subscribe]
      # @param names [Array<String, Symbol>] none for all that {EventRouter#listen_to} takes by itself
      # @return [Array<String>] the names that the publisher knows
      def subscribe(publisher, *names)
        names = names.flatten
        EventRouter.instance.listen_to(publisher, names.empty? ? nil : names)
      end

      # Takes in an event that happens now, from wherever it comes.
      #
      # @api private
      # @return [Boolean] whether something became of it
      def take(name, payload)
        Native.take_event(name, payload)
      end

      # Lets the bus ask again which names are routed: it remembers the answer until somebody subscribes.
      #
      # @api private
      # @return [nil]
      def refresh
        Notifications.unsubscribe(Notifications.subscribe(/(?!)/) { nil })
      end
    end
  end
end
