# frozen_string_literal: true

require "tasker_telemetry/instrumentation/sampler"

module TaskerTelemetry
  module Instrumentation
    # The state of ActiveRecord's connection pools, which every process has for itself.
    #
    # @api private
    module ConnectionPools
      VALUES = {
        size: "Connections that a pool may have",
        connections: "Connections that a pool has",
        busy: "Connections in use",
        idle: "Connections that nobody uses",
        dead: "Connections whose thread ended without giving them back",
        waiting: "Threads that wait for a connection"
      }.freeze

      class << self
        def install
          @gauges = VALUES.to_h do |name, help|
            [name, TaskerTelemetry.gauge(:"active_record_pool_#{name}", help, labels: %i[pool],
                                                                              aggregation: :per_process)]
          end
          Sampler.add(:active_record) { read }
        end

        private

        # Pools may share a name, as when two abstract classes connect to the same entry of database.yml.
        def read
          pools.group_by { |pool| pool.db_config.name }.each do |name, same|
            stats = same.map(&:stat)
            @gauges.each { |value, gauge| gauge.set(stats.sum { |stat| stat.fetch(value) }, pool: name) }
          end
        end

        def pools
          handler = ::ActiveRecord::Base.connection_handler
          return handler.all_connection_pools if ::ActiveRecord.version < Gem::Version.new("7.1")

          handler.connection_pool_list(:all)
        end
      end
    end
  end
end
