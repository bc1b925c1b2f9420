# frozen_string_literal: true

require "rspec/expectations"
require "tasker_telemetry"
require "tasker_telemetry/rspec/change_matcher"

module TaskerTelemetry
  # Matchers for what a block records. They look at the series of this machine, so that they also see what a child
  # process records, and they take an instrument or the name of one.
  #
  #   expect { checkout }.to increment_metric(:orders_total).by(2).with(status: "paid")
  #   expect { checkout }.to set_metric(:queue_depth).to(7).with(queue: "mail")
  #   expect { checkout }.to observe_metric(:checkout_seconds).times(1)
  #   expect { checkout }.not_to increment_metric(:orders_total)
  #
  # `with` takes any of the labels; series that agree in those are taken together.
  module RSpec
    # Passes when the counter grew (or the gauge rose), by the amount where `by` says one.
    #
    # @param metric [Symbol, String, Counter, Gauge]
    def increment_metric(metric)
      IncrementMatcher.new(metric)
    end

    # Passes when the gauge's value is another than before, or the one that `to` names.
    #
    # @param metric [Symbol, String, Gauge]
    def set_metric(metric) # rubocop:disable Naming/AccessorMethodName -- reads as the others do
      SetMatcher.new(metric)
    end

    # Passes when the histogram observed anything, or as many values as `times` says.
    #
    # @param metric [Symbol, String, Histogram]
    def observe_metric(metric)
      ObserveMatcher.new(metric)
    end
  end
end
