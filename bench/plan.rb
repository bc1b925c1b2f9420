# frozen_string_literal: true

module Bench
  # How much is measured.
  class Plan
    # `rounds`: what is measured once per round in turns, of which the median counts. `seconds`: what one measurement of
    # a call takes.
    KEYS = %i[rounds seconds threads processes pages series crowd streamed remembered].freeze

    attr_reader(*KEYS)

    def self.full
      new(rounds: 5, seconds: 0.15, threads: [1, 4, 16], processes: [1, 2, 4, 16, Machine.cores], pages: 5,
          series: 10_000, crowd: 9, streamed: 1_000_000, remembered: 50_000)
    end

    # Everything once and small: it shows that all of it works, and nothing else.
    def self.quick
      new(rounds: 1, seconds: 0.001, threads: [1, 2], processes: [1, 2], pages: 1,
          series: 500, crowd: 3, streamed: 20_000, remembered: 1_000)
    end

    def initialize(**settings)
      KEYS.each { |key| instance_variable_set("@#{key}", settings.fetch(key)) }
      @processes = @processes.uniq.sort
    end
  end
end
