# frozen_string_literal: true

module TaskerTelemetry
  # One series of a {Snapshot}.
  class Series
    # @return [String] as exported, prefix included
    attr_reader :name
    # @return [Symbol] :counter, :gauge or :histogram
    attr_reader :kind
    # @return [String]
    attr_reader :help
    # @return [Hash{Symbol => String}] default labels included
    attr_reader :labels
    # @return [Integer, Float, Hash] of a histogram count:, sum: and buckets: (cumulative counts by upper bound)
    attr_reader :value
    # @return [Time] when the series' first sample was recorded
    attr_reader :created_at

    # @api private
    # @param row [Array] as Native.snapshot gives it
    def initialize(row)
      @name, @kind, @help, @labels, @value, @superseded, created_at = row
      @created_at = Time.at(created_at)
      [@labels, @value].each(&:freeze)
      freeze
    end

    # Whether another release declares the metric differently by now, so that the pages leave this series out.
    def superseded?
      @superseded
    end

    # @return [Hash{Symbol => Object}]
    def to_h
      { name: name, kind: kind, labels: labels, value: value }
    end
  end
end
