# frozen_string_literal: true

require "tasker_telemetry/options"
require "tasker_telemetry/configuration/defaults"
require "tasker_telemetry/configuration/otlp"

module TaskerTelemetry
  class Configuration < Options
    # `config.metrics`
    class Metrics < Options
      # @!attribute enabled
      #   @return [Boolean] false makes every instrument a no-op
      option :enabled, Types::BOOLEAN, default: true

      # @!attribute arena
      #   @return [String, Symbol] the file that every process counts into; :memory keeps it private to this process and
      #     its forks (the default where RAILS_ENV or RACK_ENV is "test"); :auto chooses a file in shared memory
      option :arena, Types::ARENA, default: Defaults.method(:arena)

      # @!attribute prefix
      #   @return [String, nil] "tasker" turns :orders_total into tasker_orders_total
      option :prefix, Types::NAME

      # @!attribute default_labels
      #   @return [Hash{String => String}] labels on every series of this process
      option :default_labels, Types::LABELS, default: {}.freeze

      # @!attribute max_series
      #   @return [Integer] per metric; samples of further label sets are counted in one overflow series
      option :max_series, Types::COUNT, default: 10_000

      # @!attribute idle_expiry
      #   @return [Float, nil] seconds after which a series that nobody writes is removed
      option :idle_expiry, Types::SECONDS

      # @!attribute [r] otlp
      #   @return [Otlp]
      group :otlp, Otlp

      # @api private
      # @return [Hash] what the native side is told
      def to_native
        { place: arena, prefix: prefix, enabled: enabled, default_labels: default_labels, max_series: max_series,
          idle_expiry: idle_expiry, otlp: otlp.to_native.merge(enabled: enabled && otlp.enabled) }
      end
    end
  end
end
