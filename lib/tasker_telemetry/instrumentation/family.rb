# frozen_string_literal: true

module TaskerTelemetry
  module Instrumentation
    # Instruments with the same labels, bound to the values of these once: afterwards recording looks up no labels.
    #
    # @api private
    class Family
      # @param instruments [Array<Counter, Histogram>]
      def initialize(*instruments)
        @instruments = instruments
        @names = instruments.first.label_names
        @bound = {}
        # As bounded as the series are.
        @room = TaskerTelemetry.config.metrics.max_series
      end

      # @param values [Array<String>] of the labels, in declared order
      # @return [Array] the instruments, bound
      def [](*values)
        @bound[values] || bind(values.freeze)
      end

      private

      def bind(values)
        labels = @names.zip(values).to_h
        bound = @instruments.map { |instrument| instrument.with(**labels) }.freeze
        @bound[values] = bound if @bound.size < @room
        bound
      end
    end
  end
end
