# frozen_string_literal: true

require "tasker_telemetry/event"
require "tasker_telemetry/notifications"
require "tasker_telemetry/publishers"
require "tasker_telemetry/base_subscriber/handlers"

module TaskerTelemetry
  class BaseSubscriber
    # An instance of a subscriber, and where it is subscribed. It is an object of its own so that the methods and
    # instance variables of a subscriber are all the application's.
    #
    # @api private
    class Attachment
      attr_reader :subscriber

      # Finds every mistake before anything is changed.
      #
      # @param subscriber [BaseSubscriber]
      # @param publisher [#subscribe, nil]
      # @raise [SubscriptionError]
      def initialize(subscriber, publisher)
        @subscriber = subscriber
        @publisher = publisher
        @type = subscriber.class
        @label = Isolation.label(subscriber)
        @filters = @type.filters
        @handlers = Handlers.new(@type, @type.subscribed_events)
      end

      # A class that was loaded again is another object of the same name.
      def replaced_by?(other)
        publisher.equal?(other.publisher) && (type.equal?(other.type) || (type.name && type.name == other.type.name))
      end

      # @raise [SubscriptionError] when the publisher refuses all
      def attach
        return attach_to_publisher if @publisher

        told = Notifications::Timed.new(method(:receive), @label)
        @subscriptions = @handlers.patterns.map { |pattern| Notifications.subscribe(pattern, told, isolated: false) }
      end

      def detach
        @subscriptions&.each { |subscription| Notifications.unsubscribe(subscription) }
        Publishers.silence(@publisher, @sink) if @publisher
      end

      protected

      attr_reader :type, :publisher

      private

      def attach_to_publisher
        @sink = Sink.new(@label, method(:receive))
        wanted = @handlers.names_among(@publisher)
        refused = {}
        listened = Publishers.listen(@publisher, wanted, @sink) { |name, error| refused[name] = error }
        return if refused.empty?

        reason = Redaction.text(Failure.describe(refused.values.first))
        message = "#{@publisher.class} does not let #{@label} subscribe to #{refused.keys.join(", ")} (#{reason})"
        raise SubscriptionError, message if listened.empty?

        Log.warn(message)
      end

      # Nothing that happens here reaches who publishes: its caller keeps it away.
      def receive(name, started, finished, id, payload)
        handler = @handlers.find(name) or return
        return unless @filters.all? { |filter| filter.call(name, payload) }

        event = Event.new(name, payload, started: started, finished: finished, id: id)
        return unless @subscriber.__send__(:should_process?, event)

        handler == Handlers::ANY ? @subscriber.__send__(handler, name, payload) : @subscriber.__send__(handler, event)
      end

      # What a publisher's events go to. It bears the label of the subscriber, for when that raises.
      class Sink
        def initialize(label, receiver)
          @label = label
          @receiver = receiver
        end

        def call(name, payload)
          Isolation.guard(@label, name) { @receiver.call(name, nil, nil, nil, payload) }
        end
      end
      private_constant :Sink
    end
  end
end
