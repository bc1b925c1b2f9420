# frozen_string_literal: true

require "tasker_telemetry/instrumentation/subscriber"

module TaskerTelemetry
  module Instrumentation
    # What is asked of the services that keep files.
    #
    # @api private
    class ActiveStorage < Subscriber
      OPERATIONS = %w[upload download streaming_download download_chunk delete delete_prefixed exist url mirror
                      update_metadata compose].to_h { |name| ["service_#{name}.active_storage", name] }.freeze
      LABELS = %i[service operation].freeze
      private_constant :OPERATIONS, :LABELS

      def self.install
        new.subscribe(*OPERATIONS.keys)
      end

      def initialize
        super(:active_storage)
        total = TaskerTelemetry.counter(:active_storage_operations_total, "Operations of storage services",
                                        labels: [*LABELS, :outcome])
        duration = TaskerTelemetry.histogram(:active_storage_operation_duration_seconds,
                                             "Time that operations of storage services took",
                                             labels: [*LABELS, :outcome], unit: :seconds)
        bytes = TaskerTelemetry.counter(:active_storage_bytes_total, "Bytes that were asked for in chunks",
                                        labels: LABELS, unit: :bytes)
        @family = Family.new(total, duration)
        @bytes = Family.new(bytes)
      end

      private

      def record(event, payload, seconds)
        operation = OPERATIONS.fetch(event)
        service = payload[:service].to_s
        failed = payload.key?(:exception)
        total, duration = @family[service, operation, failed ? "failed" : "completed"]
        total.increment
        duration.observe(seconds)
        # A chunk is the one thing whose size is told.
        size = payload[:range]&.size unless failed
        @bytes[service, operation].first.increment(size) if size.is_a?(Integer)
      end
    end
  end
end
