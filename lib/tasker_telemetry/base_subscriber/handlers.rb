# frozen_string_literal: true

require "tasker_telemetry/errors"
require "tasker_telemetry/text"

module TaskerTelemetry
  class BaseSubscriber
    # Which method of a subscriber an event goes to. A method's name does not tell the name of its event, since dots
    # and underscores look alike in it; so it is looked up from the names that were subscribed.
    #
    # @api private
    class Handlers
      # Where events go that have no method of their own.
      ANY = :handle_event
      # How many names that a pattern fits are remembered.
      MOST_FOUND = 1_000
      private_constant :MOST_FOUND

      class << self
        # @return [String] frozen
        # @raise [ArgumentError] for what cannot be the name of an event
        def check_name(name)
          text = Text.of(name) if name.is_a?(String) || name.is_a?(Symbol)
          return text if text && !text.empty? && !text.match?(/[[:space:]]|[[:cntrl:]]/)

          raise ArgumentError, "an event is named by a String such as \"order.completed\" or \"order.*\", " \
                               "not by #{Text.of(name.inspect)[0, 100]}"
        end

        # @return [Symbol] such as :handle_order_completed
        def method_of(name)
          :"handle_#{name.gsub(/[^[:alnum:]]/, "_")}"
        end
      end

      # @param type [Class]
      # @param names [Array<String>] events and patterns
      # @raise [SubscriptionError]
      def initialize(type, names)
        @type = type
        @globs, @names = names.partition { |name| name.include?("*") }
        raise SubscriptionError, "#{type} names no event; write subscribe_to \"order.completed\" in it" if names.empty?

        @any = ANY if defined_in_type?(ANY)
        @owners = owners
        @pattern = Regexp.union(@globs.map { |glob| regexp(glob) }) unless @globs.empty?
        @globs.each { |glob| check_glob(glob) }
        @found = {}
      end

      # @return [Symbol, nil] the method for an event
      def find(name)
        @owners.fetch(name) do
          @found.fetch(name) do
            @found.clear if @found.size >= MOST_FOUND
            @found[name.dup.freeze] = matching(name)
          end
        end
      end

      # What to subscribe to, so that every event comes once though several names may fit it.
      #
      # @return [Array<String, Regexp>]
      def patterns
        [*@names.reject { |name| @pattern&.match?(name) }, *@pattern]
      end

      # @return [Array<String>] the events to ask a publisher for, which takes no patterns
      # @raise [SubscriptionError] when the publisher cannot tell what it has
      def names_among(publisher)
        return @names if @globs.empty?

        offered = Publishers.names_of(publisher)
        return @names | offered.grep(@pattern) if offered

        raise SubscriptionError, "#{@type} subscribes to #{@globs.join(", ")}, but #{publisher.class} does not tell " \
                                 "which events it has; name them one by one"
      end

      private

      # Event to method.
      def owners
        methods = @names.group_by { |name| Handlers.method_of(name) }
        methods.each do |method, names|
          # An event named "event" has no other method than the one for all.
          next if method == ANY

          check_method(method, names)
        end
        @names.to_h { |name| [name, own(Handlers.method_of(name)) || @any] }
      end

      def check_method(method, names)
        if !defined_in_type?(method)
          return if @any

          raise SubscriptionError, "#{@type} subscribes to #{names.join(" and ")}, and has neither " \
                                   "#{method}(event) nor handle_event(name, payload); write one of them"
        elsif names.size > 1
          raise SubscriptionError, "#{method} of #{@type} would be the method for #{names.join(" and ")}; subscribe " \
                                   "to one of them, or put handle_event(name, payload) in its place"
        end
      end

      # A pattern alone handles what it has methods for.
      def check_glob(glob)
        return if @any

        wanted = glob.split("*", -1).map { |part| Regexp.escape(part.gsub(/[^[:alnum:]]/, "_")) }.join(".*")
        return if methods_of_type.any? { |method| method.match?(/\Ahandle_#{wanted}\z/) }

        raise SubscriptionError, "#{@type} subscribes to #{glob}, and has neither handle_event(name, payload) nor a " \
                                 "method for any event that it fits; write one of them"
      end

      # A method that bears the name of a subscribed event is that event's, and not one's that looks like it.
      def matching(name)
        method = Handlers.method_of(name)
        taken = @names.any? { |other| Handlers.method_of(other) == method }
        (own(method) unless taken) || @any
      end

      def own(method)
        method if method != ANY && defined_in_type?(method)
      end

      def defined_in_type?(method)
        @type.method_defined?(method) || @type.private_method_defined?(method)
      end

      def methods_of_type
        [*@type.instance_methods, *@type.private_instance_methods].grep(/\Ahandle_/) - [ANY]
      end

      def regexp(glob)
        /\A#{glob.split("*", -1).map { |part| Regexp.escape(part) }.join(".*")}\z/m
      end
    end
  end
end
