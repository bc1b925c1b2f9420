# frozen_string_literal: true

module TaskerTelemetry
  # A total that only grows. Made by {TaskerTelemetry.counter}.
  class Counter
    # @!method increment(by = 1, **labels)
    #   @param by [Integer, Float] not negative; whole numbers stay exact up to 2^64
    #   @return [nil]
    # @!method with(**labels)
    #   @return [BoundCounter] the series of these labels: neither a lookup nor an allocation per call
    # @!method value(**labels)
    #   @return [Integer, Float] 0 when nothing was recorded
    # @!method remove(**labels)
    #   @return [Boolean] whether there was such a series
    # @!method clear
    #   @return [Integer] how many series were removed
    # @!method name
    #   @return [Symbol] as declared
    # @!method help
    #   @return [String]
    # @!method label_names
    #   @return [Array<Symbol>] in declared order
    # @!method unit
    #   @return [String, nil]

    # Only a declaration makes one.
    private_class_method :new
  end

  # A value that goes up and down. Made by {TaskerTelemetry.gauge}.
  class Gauge
    # @!method set(to, **labels)
    #   @return [nil]
    # @!method increment(by = 1, **labels)
    #   @return [nil]
    # @!method decrement(by = 1, **labels)
    #   @return [nil]
    # @!method with(**labels)
    #   @return [BoundGauge]
    # @!method value(**labels)
    #   @return [Integer, Float] 0 when nothing was recorded
    # @!method remove(**labels)
    #   @return [Boolean] whether there was such a series
    # @!method clear
    #   @return [Integer] how many series were removed
    # @!method aggregation
    #   @return [Symbol] :last, :sum, :min, :max or :per_process
    # @!method name
    #   @return [Symbol] as declared
    # @!method help
    #   @return [String]
    # @!method label_names
    #   @return [Array<Symbol>] in declared order
    # @!method unit
    #   @return [String, nil]

    # Only a declaration makes one.
    private_class_method :new
  end

  # Counts of observed values by size, and their sum. Made by {TaskerTelemetry.histogram}.
  class Histogram
    # @!method observe(value, **labels)
    #   @return [nil]
    # @!method with(**labels)
    #   @return [BoundHistogram]
    # @!method value(**labels)
    #   @return [Hash] count:, sum: and buckets: (cumulative counts by upper bound)
    # @!method remove(**labels)
    #   @return [Boolean] whether there was such a series
    # @!method clear
    #   @return [Integer] how many series were removed
    # @!method buckets
    #   @return [Array<Float>] the upper bounds, infinity left out
    # @!method name
    #   @return [Symbol] as declared
    # @!method help
    #   @return [String]
    # @!method label_names
    #   @return [Array<Symbol>] in declared order
    # @!method unit
    #   @return [String, nil]

    # Only a declaration makes one.
    private_class_method :new

    # Observes how many seconds the block takes, also when it raises.
    #
    # @return [Object] what the block returns
    def time(**labels)
      start = Clock.now
      yield
    ensure
      observe(Clock.now - start, **labels) if start
    end
  end

  # A {Counter} with its labels.
  class BoundCounter
    # @!method increment(by = 1)
    #   @param by [Integer, Float] not negative
    #   @return [nil]
    # @!method value
    #   @return [Integer, Float] 0 when nothing was recorded
    # @!method remove
    #   @return [Boolean] whether there was such a series

    # Only `with` makes one.
    private_class_method :new
  end

  # A {Gauge} with its labels.
  class BoundGauge
    # @!method set(to)
    #   @return [nil]
    # @!method increment(by = 1)
    #   @return [nil]
    # @!method decrement(by = 1)
    #   @return [nil]
    # @!method value
    #   @return [Integer, Float] 0 when nothing was recorded
    # @!method remove
    #   @return [Boolean] whether there was such a series

    # Only `with` makes one.
    private_class_method :new
  end

  # A {Histogram} with its labels.
  class BoundHistogram
    # @!method observe(value)
    #   @return [nil]
    # @!method value
    #   @return [Hash] count:, sum: and buckets: (cumulative counts by upper bound)
    # @!method remove
    #   @return [Boolean] whether there was such a series

    # Only `with` makes one.
    private_class_method :new

    # Observes how many seconds the block takes, also when it raises.
    #
    # @return [Object] what the block returns
    def time
      start = Clock.now
      yield
    ensure
      observe(Clock.now - start) if start
    end
  end
end
