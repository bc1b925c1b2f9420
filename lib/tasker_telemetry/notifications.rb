# frozen_string_literal: true

require "tasker_telemetry/notifications/bus"
require "tasker_telemetry/notifications/listeners"

module TaskerTelemetry
  # Where events are published and subscribed to: ActiveSupport::Notifications where that is loaded, else a bus of our
  # own with the same protocol. Whoever subscribed to ours is taken along when ActiveSupport is loaded later.
  module Notifications
    # What {Notifications.subscribe} gives, and {Notifications.unsubscribe} takes.
    #
    # @api private
    Subscription = Struct.new(:pattern, :listener, :handle)
    private_constant :Subscription

    @own = Bus.new
    @subscriptions = []
    @changing = Monitor.new

    class << self
      # @api private
      # @see TaskerTelemetry.instrument
      def instrument(name, payload, &)
        name = name.name if name.is_a?(Symbol)
        payload = writable(payload)
        Native.publishing(name, payload, block_given?)
        bus.instrument(name, payload, &)
      end

      # Subscribes a listener, or a block, to events. What it raises does not reach who publishes: it is counted in
      # tasker_telemetry_subscriber_errors_total and reported.
      #
      # @param pattern [String, Regexp, nil] the name of the events; nil for all
      # @param listener [#start, #finish] is told of each event `start(name, id, payload)` and
      #   `finish(name, id, payload)`
      # @param isolated [Boolean] false for a listener that never raises: nothing then stands between it and the bus
      # @yield [name, started, finished, id, payload] at the end of each event
      # @return [Object] for {.unsubscribe}
      def subscribe(pattern = nil, listener = nil, isolated: true, &block)
        listener = prepared(listener, block, isolated)
        pattern = check(pattern)
        @changing.synchronize do
          subscription = Subscription.new(pattern, listener, bus.subscribe(pattern, listener))
          @subscriptions.push(subscription)
          subscription
        end
      end

      # @param subscription [Object] what {.subscribe} gave; a second time it does nothing
      # @return [nil]
      def unsubscribe(subscription)
        @changing.synchronize do
          known = @subscriptions.index { |each| each.equal?(subscription) }
          bus.unsubscribe(@subscriptions.delete_at(known).handle) if known
        end
        nil
      end

      # The bus in use. The first call after ActiveSupport was loaded moves to its bus.
      #
      # @api private
      # @return [Bus, Module]
      def bus
        @active || (defined?(::ActiveSupport::Notifications) ? move : @own)
      end

      private

      # A Hash, in which an exception can be noted.
      def writable(payload)
        case payload
        when Hash then payload.frozen? ? payload.dup : payload
        when nil then {}
        else { payload: payload }
        end
      end

      def move
        @changing.synchronize do
          return @active if @active

          active = ::ActiveSupport::Notifications
          @subscriptions.each do |subscription|
            @own.unsubscribe(subscription.handle)
            subscription.handle = active.subscribe(subscription.pattern, subscription.listener)
          end
          @active = active
        end
      end

      def prepared(listener, block, isolated)
        return Timed.new(block) if block && listener.nil?

        unless block.nil? && %i[start finish].all? { |name| listener.respond_to?(name) }
          raise ArgumentError, "a subscriber is a block, or an object that answers to start(name, id, payload) and " \
                               "finish(name, id, payload)"
        end
        isolated ? Guarded.new(listener) : listener
      end

      def check(pattern)
        case pattern
        when nil, Regexp then pattern
        when String then pattern.dup.freeze
        when Symbol then pattern.name
        else raise ArgumentError, "events are named by a String or a Regexp, not by a #{pattern.class}"
        end
      end
    end
  end
end
