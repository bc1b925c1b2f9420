# frozen_string_literal: true

require "tasker_telemetry/instrumentation/subscriber"

module TaskerTelemetry
  module Instrumentation
    # What is asked of cache stores. `fetch` is what it is made of: a read that hits or misses, and after a miss the
    # block (`generate`) and a write.
    #
    # @api private
    class Cache < Subscriber
      # `fetch_hit` is left out: the read before it told the same.
      NAMES = %w[read read_multi write write_multi delete delete_multi delete_matched exist? increment decrement
                 generate cleanup prune].freeze
      OPERATIONS = NAMES.to_h { |name| ["cache_#{name}.active_support", name.delete_suffix("?")] }.freeze
      NAMESPACE = "ActiveSupport::Cache::"
      HIT = "hit"
      MISS = "miss"
      COMPLETED = "completed"
      FAILED = "failed"
      private_constant :NAMES, :OPERATIONS, :NAMESPACE, :HIT, :MISS, :COMPLETED, :FAILED

      # What one operation of one store does.
      Bound = Struct.new(:outcomes, :duration)
      private_constant :Bound

      def self.install
        new.subscribe(*OPERATIONS.keys)
      end

      def initialize
        super(:cache)
        @total = TaskerTelemetry.counter(:cache_operations_total, "Keys that cache operations were about",
                                         labels: %i[operation store outcome])
        @duration = TaskerTelemetry.histogram(:cache_operation_duration_seconds, "Time that cache operations took",
                                              labels: %i[operation store], unit: :seconds)
        # By event, then by the store's class: each lookup is one of a String that is there already.
        @bound = OPERATIONS.transform_values do |operation|
          Hash.new { |stores, store| stores[store] = bind(operation, store) }
        end
      end

      private

      def record(event, payload, seconds)
        bound = @bound.fetch(event)[payload[:store]]
        bound.duration.observe(seconds)
        outcomes = bound.outcomes
        if payload.key?(:exception)
          outcomes[FAILED].increment
        elsif payload.key?(:hits)
          found(outcomes, payload[:hits].size, payload[:key].size)
        elsif payload.key?(:hit)
          outcomes[payload[:hit] ? HIT : MISS].increment
        else
          outcomes[COMPLETED].increment(keys(event, payload[:key]))
        end
      end

      def found(outcomes, hits, keys)
        outcomes[HIT].increment(hits) if hits.positive?
        outcomes[MISS].increment(keys - hits) if keys > hits
      end

      # What is written or deleted at once is a Hash or an Array.
      def keys(event, key)
        event.end_with?("_multi.active_support") && key.respond_to?(:size) ? key.size : 1
      end

      def bind(operation, store)
        store = store.to_s.delete_prefix(NAMESPACE)
        outcomes = Hash.new do |known, outcome|
          known[outcome] = @total.with(operation: operation, store: store, outcome: outcome)
        end
        Bound.new(outcomes, @duration.with(operation: operation, store: store))
      end
    end
  end
end
