# frozen_string_literal: true

require "tasker_telemetry/event"
require "tasker_telemetry/notifications"
require "tasker_telemetry/publishers"
require "tasker_telemetry/base_subscriber/handlers"
require "tasker_telemetry/base_subscriber/reading"

module TaskerTelemetry
  # What a class inherits from that wants to be told of events.
  #
  #   class OrderSubscriber < TaskerTelemetry::BaseSubscriber
  #     subscribe_to "order.completed", "order.line_item.added"
  #     filter_events { |_name, payload| payload[:tenant] != "test" }
  #
  #     def handle_order_completed(event)
  #       event[:order_id]
  #     end
  #
  #     def handle_order_line_item_added(event)
  #       event.duration
  #     end
  #   end
  #
  #   OrderSubscriber.subscribe
  #
  # An event goes to the method that its name gives, with an underscore in place of each dot; where there is none, to
  # `handle_event(name, payload)`. What a handler raises does not reach who published the event: it is counted in
  # tasker_telemetry_subscriber_errors_total, logged now and then, and reported by `Rails.error.report` where there is
  # that.
  class BaseSubscriber
    include Reading

    # An instance, and where it is subscribed.
    Attachment = Struct.new(:type, :publisher, :subscriber) do
      # A class that was loaded again is another object of the same name.
      #
      # @private
      def replaced_by?(other)
        publisher.equal?(other.publisher) && (type.equal?(other.type) || (type.name && type.name == other.type.name))
      end
    end
    private_constant :Attachment

    @attachments = []
    @changing = Monitor.new

    class << self
      # Names the events that the class is for; a subclass adds its own to those of its ancestors.
      #
      # @param names [Array<String, Symbol>] "order.completed", or with `*` for any characters, dots included:
      #   "order.*". Where a pattern alone fits, the methods that exist decide which events are handled
      # @raise [ArgumentError]
      # @return [Array<String>] all events of the class
      def subscribe_to(*names)
        names = names.flatten.map { |name| Handlers.check_name(name) }
        raise ArgumentError, "subscribe_to needs the name of an event" if names.empty?

        @names = [*@names, *names].uniq.freeze
        subscribed_events
      end

      # @return [Array<String>] what {.subscribe_to} named, here and in the ancestors
      def subscribed_events
        inherited = equal?(BaseSubscriber) ? [] : superclass.subscribed_events
        [*inherited, *@names].uniq.freeze
      end

      # Lets through only the events for which the block says yes. It is asked for each one; all filters, those of the
      # ancestors included, must agree.
      #
      # @yieldparam name [String]
      # @yieldparam payload [Hash]
      # @return [nil]
      def filter_events(&block)
        raise ArgumentError, "filter_events needs a block" unless block

        @filters = [*@filters, block].freeze
        nil
      end

      # @api private
      # @return [Array<Proc>]
      def filters
        inherited = equal?(BaseSubscriber) ? [] : superclass.filters
        [*inherited, *@filters].freeze
      end

      # Makes an instance and has it told of the events. It takes the place of the one that was subscribed there
      # before, be it of this class or of one of the same name: doing this after each code reload does not double
      # anything.
      #
      # @param publisher [#subscribe, nil] what has `subscribe(name) { |event| }`; nil for
      #   ActiveSupport::Notifications, or the gem's own bus where that is not loaded
      # @raise [SubscriptionError] when there is an event without a method, or one method for two events
      # @return [BaseSubscriber]
      def subscribe(publisher = nil)
        subscriber = new
        subscriber.send(:prepare, publisher)
        attachment = Attachment.new(self, publisher, subscriber)
        BaseSubscriber.send(:replace, attachment) { subscriber.send(:attach, publisher) }
        subscriber
      end

      private

      def replace(attachment)
        @changing.synchronize do
          @attachments.select { |known| known.replaced_by?(attachment) }.each { |known| known.subscriber.unsubscribe }
          yield
          @attachments.push(attachment)
        end
      end

      def forget(subscriber)
        @changing.synchronize { @attachments.reject! { |known| known.subscriber.equal?(subscriber) } }
      end
    end

    # Has it told nothing more.
    #
    # @return [nil]
    def unsubscribe
      BaseSubscriber.send(:forget, self)
      @subscriptions&.each { |subscription| Notifications.unsubscribe(subscription) }
      Publishers.silence(@publisher, @sink) if @publisher
      nil
    end

    protected

    # Whether to handle an event that the filters let through. It is asked for each one.
    #
    # @param _event [Event]
    # @return [Boolean]
    def should_process?(_event)
      true
    end

    private

    # Finds every mistake before anything is changed.
    def prepare(publisher)
      @publisher = publisher
      @label = Isolation.label(self)
      @filters = self.class.filters
      @handlers = Handlers.new(self.class, self.class.subscribed_events)
    end

    def attach(publisher)
      return attach_to(publisher) if publisher

      told = Notifications::Timed.new(method(:receive), @label)
      @subscriptions = @handlers.patterns.map { |pattern| Notifications.subscribe(pattern, told, isolated: false) }
    end

    def attach_to(publisher)
      @sink = Sink.new(@label, method(:receive))
      wanted = @handlers.names_among(publisher)
      refused = {}
      listened = Publishers.listen(publisher, wanted, @sink) { |name, error| refused[name] = error }
      return if refused.empty?

      reason = Redaction.text(Failure.describe(refused.values.first))
      message = "#{publisher.class} does not let #{@label} subscribe to #{refused.keys.join(", ")} (#{reason})"
      raise SubscriptionError, message if listened.empty?

      Log.warn(message)
    end

    # Nothing that happens here reaches who publishes: its caller keeps it away.
    def receive(name, started, finished, id, payload)
      handler = @handlers.find(name) or return
      return unless @filters.all? { |filter| filter.call(name, payload) }

      event = Event.new(name, payload, started: started, finished: finished, id: id)
      return unless should_process?(event)

      handler == Handlers::ANY ? handle_event(name, payload) : __send__(handler, event)
    end

    # What a publisher's events go to. It bears the label of the subscriber, for when that raises.
    #
    # @api private
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
