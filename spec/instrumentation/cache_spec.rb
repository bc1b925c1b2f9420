# frozen_string_literal: true

RSpec.describe "The instrumentation of caches" do
  around { |example| Application.open { |application| (@application = application) && example.run } }

  it "counts each key that is asked for once, as a hit or a miss" do
    totals = counted(@application, <<~'RUBY')
      store = ActiveSupport::Cache::MemoryStore.new
      store.read("a")
      store.fetch("a") { 1 }
      3.times { store.fetch("a") { 1 } }
      store.read("a")
      store.read_multi("a", "b", "c")
      store.fetch_multi("a", "d", "e") { 2 }
      store.write("f", 1)
      store.write_multi("g" => 1, "h" => 2)
      store.exist?("g")
      store.delete("g")
      store.delete_multi(%w[f h])
      begin
        store.fetch("z") { raise "on purpose" }
      rescue RuntimeError
        nil
      end
    RUBY
    operations = totals.fetch("cache_operations_total").transform_keys { |key| key.sub(" MemoryStore", "") }
    expect(operations).to include(
      "read hit" => 4, "read miss" => 3, "generate completed" => 1, "generate failed" => 1,
      "read_multi hit" => 2, "read_multi miss" => 4, "write completed" => 2, "exist completed" => 1,
      "delete completed" => 1, "delete_multi completed" => 2
    )
    expect(operations["write_multi completed"]).to eq(4)
    expect(totals.fetch("cache_operation_duration_seconds")).to include(
      "read MemoryStore" => 7, "read_multi MemoryStore" => 2, "write MemoryStore" => 2
    )
  end

  it "tells stores apart by their class, those of an application too" do
    totals = counted(@application, <<~'RUBY')
      class Pantry < ActiveSupport::Cache::FileStore; end
      [Pantry.new("pantry"), ActiveSupport::Cache::FileStore.new("files"), ActiveSupport::Cache::NullStore.new].each do |store|
        2.times { store.fetch("shelf") { 1 } }
      end
      Rails.cache.read("x")
    RUBY
    expect(totals.fetch("cache_operations_total")).to include(
      "read Pantry miss" => 1, "read Pantry hit" => 1, "read FileStore hit" => 1, "read NullStore miss" => 2
    )
  end

  it "counts those of Redis" do
    RedisServer.open do |redis|
      totals = counted(@application, <<~RUBY)
        store = ActiveSupport::Cache::RedisCacheStore.new(url: "#{redis.url}")
        2.times { store.fetch("a") { 1 } }
        store.fetch_multi("a", "b") { 2 }
        2.times { store.increment("n") }
      RUBY
      expect(totals.fetch("cache_operations_total")).to include(
        "read RedisCacheStore miss" => 1, "read RedisCacheStore hit" => 1, "read_multi RedisCacheStore hit" => 1,
        "read_multi RedisCacheStore miss" => 1, "increment RedisCacheStore completed" => 2
      )
    end
  end

  it "is silent when it is switched off" do
    totals = counted(@application, 'ActiveSupport::Cache::MemoryStore.new.read("a")',
                     env: { "SWITCHED_OFF" => "cache" })
    expect(totals.keys.grep(/cache/)).to be_empty
  end
end
