# frozen_string_literal: true

require "json"

module Demo
  # What the application counted, read from its JSON export.
  class Counted
    def initialize(json)
      @families = JSON.parse(json).fetch("metrics").reject { |family| family["superseded"] }
                      .to_h { |family| [family["name"], family["series"]] }
    end

    # @return [Numeric] the sum over the series for which the block holds; of a histogram, the number of observations
    def total(name)
      series(name).select { |one| !block_given? || yield(one["labels"]) }.sum { |one| one["count"] || one["value"] }
    end

    # @return [Float] the sum of what was observed, of a histogram, over the series for which the block holds
    def sum(name)
      series(name).select { |one| !block_given? || yield(one["labels"]) }.sum { |one| one["sum"] }
    end

    # @return [Hash{String=>Numeric}] the sums by one label
    def by(label, name)
      series(name).group_by { |one| one["labels"][label] }
                  .transform_values { |group| group.sum { |one| one["count"] || one["value"] } }
    end

    private

    def series(name)
      @families.fetch(name, [])
    end
  end
end
