# frozen_string_literal: true

require "tasker_telemetry/instrumentation/connection_pools"
require "tasker_telemetry/instrumentation/subscriber"

module TaskerTelemetry
  module Instrumentation
    # Queries by kind, and the connection pools.
    #
    # @api private
    class ActiveRecord < Subscriber
      # The kind of a statement by its first word.
      WORDS = {
        "select" => "select", "insert" => "insert", "replace" => "insert", "update" => "update", "delete" => "delete",
        "begin" => "begin", "start" => "begin", "commit" => "commit", "rollback" => "rollback",
        "savepoint" => "savepoint", "release" => "savepoint", "with" => "with",
        "create" => "schema", "alter" => "schema", "drop" => "schema", "truncate" => "schema"
      }.freeze
      # Answered by the query cache: no database was asked.
      CACHED = "cached"
      SCHEMA = "schema"
      OTHER = "other"
      # Parentheses and comments, those of query logs among them, may come before it.
      FIRST_WORD = %r{\A(?:[\s(]|--[^\n]*\n|/\*.*?\*/)*+([a-z]+)}mi
      ROLLBACK_TO = /\A\s*rollback(?:\s+work|\s+transaction)?\s+to\b/i
      # Where the first word stands, if not behind a comment that is longer.
      LOOKED_AT = 2048
      private_constant :WORDS, :CACHED, :SCHEMA, :OTHER, :FIRST_WORD, :ROLLBACK_TO, :LOOKED_AT

      # What nearly all statements begin with, as ActiveRecord writes them: that spares them the search for a word.
      BEGINNINGS = {
        "SELECT" => "select", "INSERT" => "insert", "UPDATE" => "update", "DELETE" => "delete", "BEGIN" => "begin",
        "BEGIN " => "begin", "begin " => "begin", "COMMIT" => "commit", "commit" => "commit",
        "SAVEPO" => "savepoint", "RELEAS" => "savepoint"
      }.freeze
      private_constant :BEGINNINGS

      class << self
        def install
          new.subscribe("sql.active_record")
          ConnectionPools.install
        end

        # @return [String] one of few
        def kind(payload)
          return CACHED if payload[:cached]
          return SCHEMA if payload[:name] == "SCHEMA"

          sql = payload[:sql]
          BEGINNINGS[sql[0, 6]] || kind_of_words(sql.byteslice(0, LOOKED_AT).b)
        end

        private

        def kind_of_words(sql)
          kind = WORDS.fetch(sql[FIRST_WORD, 1]&.downcase, OTHER)
          kind == "rollback" && sql.match?(ROLLBACK_TO) ? "savepoint" : kind
        end
      end

      def initialize
        super(:active_record)
        total = TaskerTelemetry.counter(:sql_queries_total, "SQL statements", labels: %i[kind])
        duration = TaskerTelemetry.histogram(:sql_query_duration_seconds, "Time that SQL statements took",
                                             labels: %i[kind], unit: :seconds)
        errors = TaskerTelemetry.counter(:sql_errors_total, "SQL statements that raised", labels: %i[kind])
        @bound = Hash.new do |known, kind|
          known[kind] = [total.with(kind: kind), duration.with(kind: kind), errors.with(kind: kind)].freeze
        end
      end

      private

      def record(_event, payload, seconds)
        total, duration, errors = @bound[ActiveRecord.kind(payload)]
        total.increment
        duration.observe(seconds)
        errors.increment if payload.key?(:exception)
      end
    end
  end
end
