# frozen_string_literal: true

require "securerandom"
require "tasker_telemetry/failure"

module TaskerTelemetry
  module Notifications
    # What stands in for ActiveSupport::Notifications where that is not loaded, with its protocol: a listener is told
    # `start(name, id, payload)` and `finish(name, id, payload)`.
    #
    # Publishing takes no lock. Who is told is decided at the start of an event, and the same are told its end.
    #
    # @api private
    class Bus
      # The subscriptions at one time, and the listeners of the names that were published since.
      Table = Struct.new(:subscriptions, :routes)

      # How many names are remembered; others are looked up each time.
      MOST_ROUTES = 10_000
      IDENTITY = :tasker_telemetry_bus_id
      private_constant :Table, :MOST_ROUTES, :IDENTITY

      def initialize
        @changing = Mutex.new
        @table = Table.new([].freeze, {})
      end

      # @see TaskerTelemetry.instrument
      def instrument(name, payload)
        listeners = listeners_of(name)
        return (yield payload if block_given?) if listeners.empty?

        id = identity
        listeners.each { |listener| listener.start(name, id, payload) }
        begin
          yield payload if block_given?
        rescue Exception => e # rubocop:disable Lint/RescueException -- as ActiveSupport does it; it goes on its way
          payload[:exception] = [e.class.name, Failure.message(e)]
          payload[:exception_object] = e
          raise
        ensure
          listeners.each { |listener| listener.finish(name, id, payload) }
        end
      end

      # @param pattern [String, Regexp, nil] nil for every event
      # @param listener [#start, #finish]
      # @return [Object] for {#unsubscribe}
      def subscribe(pattern, listener)
        subscription = [pattern, listener].freeze
        change { |subscriptions| [*subscriptions, subscription] }
        subscription
      end

      def unsubscribe(subscription)
        change { |subscriptions| subscriptions.reject { |each| each.equal?(subscription) } }
        nil
      end

      # @return [Boolean]
      def listening?(name)
        !listeners_of(name).empty?
      end

      private

      def change
        @changing.synchronize { @table = Table.new(yield(@table.subscriptions).freeze, {}) }
      end

      # A route that a reader adds to a table that was replaced meanwhile goes with that table.
      def listeners_of(name)
        table = @table
        table.routes[name] || route(table, name)
      end

      def route(table, name)
        found = table.subscriptions.filter_map { |pattern, listener| listener if pattern.nil? || fits?(pattern, name) }
        table.routes[name.dup.freeze] = found.freeze if table.routes.size < MOST_ROUTES
        found
      end

      def fits?(pattern, name)
        pattern.is_a?(Regexp) ? pattern.match?(name) : pattern == name
      end

      # The same for all events of a fiber, so that who is told of nested ones can tell them apart from another's.
      def identity
        Thread.current[IDENTITY] ||= SecureRandom.hex(10)
      end
    end
  end
end
