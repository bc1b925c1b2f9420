# frozen_string_literal: true

require "tasker_telemetry/isolation"
require "tasker_telemetry/text"

module TaskerTelemetry
  # Listens to publishers other than ActiveSupport::Notifications: whatever has `subscribe(name) { |event| }`, such as
  # those of dry-events.
  #
  # Such publishers forget no block, so there is one for each publisher and name, however often somebody asks. It stays
  # as long as the publisher does, and passes events on to whom it is to tell at the time.
  #
  # @api private
  module Publishers
    # The block for one name of one publisher.
    class Relay
      # @param table [Hash] where it stands: who holds a relay holds the others of the publisher
      def initialize(name, table)
        @name = name
        @table = table
        @sinks = [].freeze
      end

      def add(sink)
        @sinks = [*@sinks, sink].freeze unless @sinks.include?(sink)
      end

      def remove(sink)
        @sinks = @sinks.reject { |each| each == sink }.freeze
      end

      # @param arguments [Array] what the publisher gives to a block; the last is the event, or its payload
      def call(arguments)
        sinks = @sinks
        return if sinks.empty?

        payload = Isolation.guard(Publishers.name, @name) { Publishers.payload_of(arguments.last) }
        return unless payload

        sinks.each { |sink| Isolation.guard(Isolation.label(sink), @name) { sink.call(@name, payload) } }
      end
    end
    private_constant :Relay

    # Values are held as weakly as keys are. A table lives by its relays, which the publisher holds.
    @tables = ObjectSpace::WeakMap.new
    @changing = Monitor.new

    class << self
      # Names that the publisher does not know are left out.
      #
      # @param publisher [#subscribe]
      # @param names [Array<String>]
      # @param sink [#call] is given each event's name and payload; the same one is told once, however often it asks
      # @yield [name, error] for each name that the publisher refuses
      # @raise [ArgumentError] for an object that is no publisher
      # @return [Array<String>] the names that are listened to
      def listen(publisher, names, sink)
        unless publisher.respond_to?(:subscribe)
          raise ArgumentError, "#{publisher.class} is no publisher: it has no subscribe(name) { |event| }"
        end

        @changing.synchronize do
          table = (@tables[publisher] ||= {})
          names.select do |name|
            relay = table[name] || connect(publisher, table, name) { |error| yield name, error if block_given? }
            relay&.add(sink)
            relay
          end
        end
      end

      # Tells a sink nothing more.
      #
      # @return [nil]
      def silence(publisher, sink)
        @changing.synchronize { @tables[publisher]&.each_value { |relay| relay.remove(sink) } }
        nil
      end

      # @return [Array<String>, nil] the events that a publisher has registered; nil where it cannot be asked
      def names_of(publisher)
        events = publisher.__bus__.events if publisher.respond_to?(:__bus__)
        events ||= publisher.class.events if publisher.class.respond_to?(:events)
        events.keys.map(&:to_s) if events.respond_to?(:keys)
      end

      # @param event [Object] a Hash, a Struct, or what has a `payload`
      # @return [Hash] empty for what has none
      def payload_of(event)
        event = event.payload if !event.is_a?(Hash) && event.respond_to?(:payload)
        # An Array has a to_h as well, for which it would have to be one of pairs.
        event = event.to_h if !event.is_a?(Hash) && !event.is_a?(Array) && event.respond_to?(:to_h)
        event.is_a?(Hash) ? event : {}
      end

      private

      # A publisher may know its events by Symbols.
      def connect(publisher, table, name)
        relay = Relay.new(name, table)
        refused = refusal(publisher, name, relay)
        return table[name] = relay unless refused && refusal(publisher, name.to_sym, relay)

        yield refused
        nil
      end

      # Dry::Events raises for a name that is not registered; which class it is depends on the version.
      def refusal(publisher, name, relay)
        publisher.subscribe(name) { |*arguments| relay.call(arguments) }
        nil
      rescue StandardError => e
        e
      end
    end
  end
end
