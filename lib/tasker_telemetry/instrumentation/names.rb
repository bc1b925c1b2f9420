# frozen_string_literal: true

module TaskerTelemetry
  module Instrumentation
    # Names that an application may make up as it goes, such as those of queues, as values of a label: the first of them
    # keep their names, further ones share one.
    #
    # @api private
    class Names
      LIMIT = 100
      OTHER = "__other__"

      def initialize(limit = LIMIT)
        @limit = limit
        @known = {}
      end

      # @param name [#to_s]
      # @return [String]
      def of(name)
        @known.fetch(name) do
          next OTHER if @known.size >= @limit

          text = -name.to_s
          @known[text] = text
        end
      end
    end
  end
end
