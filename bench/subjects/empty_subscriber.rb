# frozen_string_literal: true

require "active_support"
require "active_support/notifications"

module Bench
  module Subjects
    # What ActiveSupport itself takes for an event that somebody listens to, and so the limit for whoever does.
    class EmptySubscriber
      # Has no body, but the interface that is told of beginning and end.
      class Subscriber
        def start(_name, _id, _payload); end

        def finish(_name, _id, _payload); end
      end

      def self.title
        "empty subscriber, ActiveSupport #{ActiveSupport::VERSION::STRING}"
      end

      def initialize(_directory)
        ActiveSupport::Notifications.subscribe("bench.done", Subscriber.new)
      end

      def trace_to(_endpoint); end

      def calls
        { "event" => EVENT }
      end

      def flush; end
    end
  end
end
