# frozen_string_literal: true

require "sqlite3"

require_relative "audit"

module Demo
  # What the application's own tables say.
  class Database
    PATIENCE = 5_000 # milliseconds

    def initialize(path)
      @path = path
    end

    # @return [Array<Audit>]
    def audits
      ask("SELECT package, outcome, files, seconds FROM audits ORDER BY package").map { |row| Audit.new(*row) }
    end

    # @return [Hash{String=>Integer}] number of audits by what was found, the most frequent first
    def outcomes
      ask("SELECT outcome, count(*) FROM audits GROUP BY outcome ORDER BY 2 DESC").to_h
    end

    def bytes
      ask("SELECT sum(bytes) FROM audits").dig(0, 0)
    end

    def failed_jobs
      ask("SELECT count(*) FROM queued_jobs WHERE failed_at IS NOT NULL").dig(0, 0)
    end

    # Jobs that wait or run. What became of one is written down after all else that it does.
    def unfinished_jobs
      ask("SELECT count(*) FROM queued_jobs WHERE failed_at IS NULL").dig(0, 0)
    end

    # @return [Array<Array(String, String, String)>] package, outcome, detail; those that differ most from each other
    def findings(limit)
      ask(<<~SQL)
        SELECT package, outcome, detail FROM audits WHERE outcome <> 'intact'
        ORDER BY row_number() OVER (PARTITION BY outcome ORDER BY files DESC, package), outcome LIMIT #{limit}
      SQL
    end

    private

    def ask(query)
      database = SQLite3::Database.new(@path, readonly: true)
      database.busy_timeout = PATIENCE
      database.execute(query)
    ensure
      database&.close
    end
  end
end
