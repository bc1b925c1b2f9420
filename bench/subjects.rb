# frozen_string_literal: true

module Bench
  # What is measured, by the name on the command line.
  module Subjects
    FILES = { "Empty" => "empty", "Ours" => "ours", "Mmap" => "mmap", "Synchronized" => "client_ruby",
              "DirectFileStore" => "client_ruby", "OpenTelemetry" => "opentelemetry",
              "EmptySubscriber" => "empty_subscriber", "OursTraced" => "ours_traced",
              "OpenTelemetryTraced" => "opentelemetry_traced", "BareRails" => "rails",
              "RailsWithMetrics" => "rails", "RailsWithTraces" => "rails" }.freeze

    # An event without a block, as the calls of whoever listens to it.
    EVENT = [nil,
             'ActiveSupport::Notifications.instrument("bench.done", status: "paid", queue: "mail", amount: 12, ' \
             'currency: "eur")'].freeze

    # Loads it alone.
    def self.fetch(name)
      require_relative "subjects/#{FILES.fetch(name)}"
      const_get(name, false)
    end
  end
end
