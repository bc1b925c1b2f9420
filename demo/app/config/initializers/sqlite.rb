# frozen_string_literal: true

# Four processes write to one SQLite file, so:
# - WAL lets readers go on beside a writer.
# - A writer waits for its turn in Ruby, not in SQLite's own busy timeout. That one sleeps with the GVL held, so a
#   thread that waits would stop the very thread of its process that it waits for.
# - A transaction asks for the right to write when it begins. One that reads first and asks later is refused without
#   any waiting when another has written in between.
module PatientSqlite
  PATIENCE = 20.0 # seconds
  PAUSE = 0.005

  def begin_db_transaction
    database.transaction(:immediate)
  end

  private

  def configure_connection
    super
    database.busy_handler do |tries|
      sleep PAUSE
      tries * PAUSE < PATIENCE
    end
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
  end

  # The name differs between Rails 6.1 and 7.2.
  def database
    @raw_connection || @connection
  end
end

ActiveSupport.on_load(:active_record) do
  require "active_record/connection_adapters/sqlite3_adapter"
  ActiveRecord::ConnectionAdapters::SQLite3Adapter.prepend(PatientSqlite)
end
