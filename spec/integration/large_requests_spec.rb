# frozen_string_literal: true

# A real collector takes 4 MiB over gRPC, and answers OUT_OF_RANGE to more.
RSpec.describe "More than one request can hold, over gRPC" do
  around { |example| ToldProcess.room { |room| (@room = room) && example.run } }
  around { |example| Collector.open { |collector| (@collector = collector) && example.run } }

  it "arrives whole: metrics of very many series, as one push" do
    process = @room.spawn(pushing(@room, @collector.grpc_endpoint, interval: 3600, protocol: :grpc))
    bytes = process.run(<<~'RUBY')
      6.times do |number|
        counter = TaskerTelemetry.counter(:"visits_#{number}_total", labels: %i[route status])
        9_000.times { |route| counter.increment(route: "/some/route/of/some/length/number/#{route}", status: "2xx") }
      end
      TaskerTelemetry.export(:otlp).bytesize
    RUBY
    expect(bytes).to be > 4 * 1024 * 1024
    expect(process.run("TaskerTelemetry.flush(timeout: 60)", within: 90)).to be(true)
    expect(process.run("[status[:failed], status[:rejected], status[:last_error]]")).to eq([0, 0, nil])
    @collector.drain
    points = @collector.metrics.select { |metric| metric.name.start_with?("visits_") }.flat_map(&:points)
    # There may have been a push before; all of one is from one picture.
    last = points.group_by(&:time_ns).max.last
    expect(last.size).to eq(6 * 9_000)
    expect(last.map(&:value).uniq).to eq([1])
  end

  it "arrives whole: spans with long texts, and those behind them" do
    env = { "OTEL_EXPORTER_OTLP_PROTOCOL" => "grpc" }
    TracedProcess.open(@collector.grpc_endpoint, env: env) do |process|
      process.run(<<~RUBY)
        long = %w[a b c].to_h { |name| [name, name * 4_000] }
        600.times { TaskerTelemetry.span("long", long) { nil } }
        600.times { TaskerTelemetry.span("short") { nil } }
      RUBY
      expect(process.run("TaskerTelemetry.flush(timeout: 60)", within: 90)).to be(true)
      expect(process.run("TaskerTelemetry.status[:traces][:last_error]")).to be_nil
    end
    @collector.drain
    expect(@collector.received_spans.map(&:name).tally).to eq("long" => 600, "short" => 600)
    expect(@collector.spans.size).to eq(1200)
  end
end
