# frozen_string_literal: true

require "tasker_telemetry/series"

module TaskerTelemetry
  # What was counted, at one moment: the {Series} that the pages print, in their order.
  class Snapshot
    include Enumerable

    # @param rows [Array<Array>] as Native.snapshot gives them
    def initialize(rows)
      @superseded, @series = rows.map { |row| Series.new(row) }.partition(&:superseded?)
      freeze
    end

    # @yieldparam series [Series]
    def each(&block)
      return enum_for(:each) { size } unless block

      @series.each(&block)
      self
    end

    # @return [Integer]
    def size
      @series.size
    end

    # @return [Array<Series>] what an older release declared differently; no page prints it
    def superseded
      @superseded.dup
    end

    # @return [Hash{String => Hash{Hash => Object}}] metric name to labels to value
    def to_h
      each_with_object({}) { |series, all| (all[series.name] ||= {})[series.labels] = series.value }
    end
  end
end
