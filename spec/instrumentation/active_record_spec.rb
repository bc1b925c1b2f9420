# frozen_string_literal: true

require "active_record"
require "tasker_telemetry/instrumentation/active_record"

RSpec.describe "The instrumentation of Active Record" do
  around { |example| Application.open { |application| (@application = application) && example.run } }

  let(:env) { { "LIBRARIES" => "active_record/railtie" } }

  it "counts statements by what they do, and never tells what they say" do
    totals = counted(@application, <<~'RUBY', env: env)
      class Order < ActiveRecord::Base; end
      connection = ActiveRecord::Base.connection
      connection.create_table(:orders) { |table| table.string :name }
      Order.reset_column_information
      Order.columns
      # ActiveRecord asks SQLite for its version and the like.
      selects = TaskerTelemetry.counter(:sql_queries_total, "SQL statements", labels: %i[kind]).with(kind: "select")
      before = selects.value
      statements = 0
      ActiveSupport::Notifications.subscribe("sql.active_record") { statements += 1 }
      all = -> { TaskerTelemetry.snapshot.to_h.fetch("sql_queries_total").values.sum }
      counted_before = all.call
      order = Order.create!(name: "secret")
      order.update!(name: "other secret")
      3.times { Order.where(name: "secret").to_a }
      Order.cache { 3.times { Order.count } }
      order.destroy!
      Order.transaction { raise ActiveRecord::Rollback if Order.create!(name: "no") }
      Order.transaction { Order.transaction(requires_new: true) { Order.create!(name: "yes") } }
      connection.execute("/* app:shop */ -- why\n SELECT 1")
      connection.execute("PRAGMA user_version")
      begin
        connection.execute("nonsense")
      rescue ActiveRecord::StatementInvalid
        nil
      end
      TaskerTelemetry.gauge(:selects).set(selects.value - before)
      TaskerTelemetry.gauge(:uncounted).set(statements - (all.call - counted_before))
    RUBY
    queries = totals.fetch("sql_queries_total")
    expect(queries).to include("insert" => 3, "update" => 1, "delete" => 1, "cached" => 2, "commit" => 4,
                               "rollback" => 1, "begin" => 5)
    expect(totals["selects"]).to eq("" => 5)
    expect(totals["uncounted"]).to eq("" => 0)
    expect(queries.keys).to all(match(/\A[a-z]+\z/))
    expect(totals.fetch("sql_errors_total")).to eq("other" => 1)
    expect(totals.fetch("sql_query_duration_seconds")).to eq(queries)
    expect(totals.to_s).not_to include("secret")
  end

  it "counts queries that run in the background" do
    skip "since Rails 7.0" if ActiveRecord.version < Gem::Version.new("7.0")
    totals = counted(@application, <<~'RUBY', env: env)
      class Order < ActiveRecord::Base; end
      ActiveRecord::Base.connection.create_table(:orders)
      Order.columns
      before = TaskerTelemetry.counter(:sql_queries_total, "SQL statements", labels: %i[kind]).value(kind: "select")
      ActiveRecord.async_query_executor = :global_thread_pool
      Order.where(id: 1).load_async.to_a
      after = TaskerTelemetry.counter(:sql_queries_total, "SQL statements", labels: %i[kind]).value(kind: "select")
      TaskerTelemetry.gauge(:more).set(after - before)
    RUBY
    expect(totals["more"]).to eq("" => 1.0)
  end

  it "tells of the pool, from the process that is asked" do
    totals = counted(@application, <<~'RUBY', env: env)
      at_work = Queue.new
      go_on = Queue.new
      threads = Array.new(3) do
        Thread.new do
          ActiveRecord::Base.connection_pool.with_connection { at_work << 1 && go_on.pop }
        end
      end
      3.times { at_work.pop }
      waiting = Thread.new { ActiveRecord::Base.connection_pool.with_connection { nil } }
      Thread.pass until ActiveRecord::Base.connection_pool.stat[:waiting] == 1
      TaskerTelemetry.export(:prometheus)
      at_exit { 4.times { go_on << 1 } }
    RUBY
    pool = totals.select { |name, _| name.start_with?("active_record_pool_") }
    expect(pool.transform_values { |series| series.values.first }).to eq(
      "active_record_pool_size" => 3, "active_record_pool_connections" => 3, "active_record_pool_busy" => 3,
      "active_record_pool_idle" => 0, "active_record_pool_dead" => 0, "active_record_pool_waiting" => 1
    )
    expect(pool.values.map(&:keys)).to all(match([/\Aprimary( \d+-\d+)?\z/]))
  end

  it "is silent when it is switched off" do
    totals = counted(@application, 'ActiveRecord::Base.connection.execute("SELECT 1")',
                     env: env.merge("SWITCHED_OFF" => "active_record"))
    expect(totals.keys.grep(/sql|active_record/)).to be_empty
  end

  describe "the kind of a statement" do
    {
      "SELECT 1" => "select", "select 1" => "select", "  SELECT 1" => "select", "((SELECT 1))" => "select",
      "/* a; DELETE */ SELECT 1" => "select", "-- INSERT\nUPDATE a SET b = 1" => "update", "BEGIN" => "begin",
      "begin immediate transaction" => "begin", "START TRANSACTION" => "begin", "COMMIT" => "commit",
      "ROLLBACK" => "rollback", "ROLLBACK TO SAVEPOINT a" => "savepoint", "SAVEPOINT a" => "savepoint",
      "RELEASE SAVEPOINT a" => "savepoint", "WITH a AS (SELECT 1) DELETE FROM b" => "with",
      "REPLACE INTO a VALUES (1)" => "insert", "CREATE TABLE a (b)" => "schema", "EXPLAIN SELECT 1" => "other",
      "" => "other", "/* without end" => "other", "\xff\xfe" => "other", "SELEC\xff" => "other",
      "INSERT INTO a VALUES ('\xff')" => "insert", "/*#{"x" * 5000}*/ SELECT 1" => "other"
    }.each do |sql, kind|
      it "of #{sql[0, 40].inspect} is #{kind}" do
        expect(TaskerTelemetry::Instrumentation::ActiveRecord.kind({ sql: sql })).to eq(kind)
      end
    end
  end
end
