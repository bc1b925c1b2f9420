# frozen_string_literal: true

require "tasker_telemetry/instrumentation/routed_action"
require "tasker_telemetry/instrumentation/subscriber"

module TaskerTelemetry
  module Instrumentation
    # What of an action's time went into views and into the database, as Rails itself tells it.
    #
    # @api private
    class ActionController < Subscriber
      LABELS = %i[controller action].freeze

      def self.install
        new.subscribe("process_action.action_controller")
      end

      def initialize
        super(:action_controller)
        view = TaskerTelemetry.histogram(:http_request_view_duration_seconds, "Time that an action spent in views",
                                         labels: LABELS, unit: :seconds)
        database = TaskerTelemetry.histogram(:http_request_database_duration_seconds,
                                             "Time that an action spent in the database",
                                             labels: LABELS, unit: :seconds)
        @family = Family.new(view, database)
      end

      private

      def record(_event, payload, _seconds)
        view, database = @family[*RoutedAction.of(payload[:request]&.controller_instance)]
        observe(view, payload[:view_runtime])
        observe(database, payload[:db_runtime])
      end

      # An action that renders nothing, or an application without a database, has no such time.
      def observe(histogram, milliseconds)
        histogram.observe(milliseconds / 1000.0) if milliseconds
      end
    end
  end
end
