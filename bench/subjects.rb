# frozen_string_literal: true

module Bench
  # What is measured, by the name on the command line.
  module Subjects
    FILES = { "Empty" => "empty", "Ours" => "ours", "Mmap" => "mmap", "Synchronized" => "client_ruby",
              "DirectFileStore" => "client_ruby", "OpenTelemetry" => "opentelemetry" }.freeze

    # Loads it alone.
    def self.fetch(name)
      require_relative "subjects/#{FILES.fetch(name)}"
      const_get(name, false)
    end
  end
end
