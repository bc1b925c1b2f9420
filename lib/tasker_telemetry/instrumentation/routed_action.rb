# frozen_string_literal: true

module TaskerTelemetry
  module Instrumentation
    # The labels `controller` and `action` of a request.
    #
    # @api private
    module RoutedAction
      NONE = ""

      # Both are empty where no action ran: an unknown route, a file, another Rack application. A request's own words
      # never become a label: the action has to be one that the controller has. One that `action_missing` stands in for
      # is such a word.
      #
      # @param controller [ActionController::Metal, nil]
      # @return [Array(String, String)]
      def self.of(controller)
        return [NONE, NONE] unless controller.respond_to?(:action_name)

        name = controller.action_name
        type = controller.class
        path = type.controller_path || NONE
        return [path, name] if type.action_methods.include?(name)
        return [path, NONE] if controller.respond_to?(:action_missing, true)

        # An action may be no more than its template.
        name && controller.available_action?(name) ? [path, name] : [NONE, NONE]
      end
    end
  end
end
