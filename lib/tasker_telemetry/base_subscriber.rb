# frozen_string_literal: true

require "tasker_telemetry/event"
require "tasker_telemetry/notifications"
require "tasker_telemetry/publishers"
require "tasker_telemetry/base_subscriber/attachment"
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
        new.tap { |subscriber| BaseSubscriber.send(:replace, Attachment.new(subscriber, publisher)) }
      end

      private

      def replace(attachment)
        @changing.synchronize do
          @attachments.select { |known| known.replaced_by?(attachment) }.each { |known| known.subscriber.unsubscribe }
          attachment.attach
          @attachments.push(attachment)
        end
      end

      def release(subscriber)
        @changing.synchronize do
          ended, @attachments = @attachments.partition { |known| known.subscriber.equal?(subscriber) }
          ended.each(&:detach)
        end
      end
    end

    # Has it told nothing more.
    #
    # @return [nil]
    def unsubscribe
      BaseSubscriber.send(:release, self)
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
  end
end
