# frozen_string_literal: true

RSpec.describe "Pages with exemplars" do
  around { |example| ToldProcess.room { |room| (@room = room) && example.run } }

  # A process that makes spans and sends them nowhere.
  def traced(ratio: 1.0)
    @room.spawn(<<~RUBY)
      require "base64"
      TaskerTelemetry.configure do |config|
        config.metrics.arena = "#{@room.directory}/arena"
        config.traces.enabled = true
        config.traces.endpoint = "http://127.0.0.1:1"
        config.traces.sample_ratio = #{ratio}
        config.logger = Logger.new(File::NULL)
      end
      ORDERS = TaskerTelemetry.counter(:orders_total, "Orders placed", labels: %i[status])
      DEPTH = TaskerTelemetry.gauge(:queue_depth, "Jobs waiting")
      LATENCY = TaskerTelemetry.histogram(:checkout_seconds, "Time to check out", unit: :seconds, buckets: [0.1, 1])
      def place = [TaskerTelemetry.current_trace.trace_id, TaskerTelemetry.current_trace.span_id]
    RUBY
  end

  def labels(place)
    { "trace_id" => place.first, "span_id" => place.last }
  end

  it "refer to the span in which a sample was taken, for counters and for each bucket" do
    process = traced
    before = Time.now.to_f
    places = process.run(<<~RUBY)
      ORDERS.increment(status: "open")
      [0.05, 0.5, 5].map do |seconds|
        TaskerTelemetry.span("checkout") do
          ORDERS.increment(2, status: 'pa"id')
          DEPTH.set(1)
          LATENCY.observe(seconds)
          place
        end
      end
    RUBY
    exemplars = parse_exemplars(process.run("TaskerTelemetry.export(:openmetrics)"))
    expected = { ["orders_total", { "status" => 'pa"id' }] => [labels(places.last), 2.0],
                 ["checkout_seconds_bucket", { "le" => "0.1" }] => [labels(places[0]), 0.05],
                 ["checkout_seconds_bucket", { "le" => "1.0" }] => [labels(places[1]), 0.5],
                 ["checkout_seconds_bucket", { "le" => "+Inf" }] => [labels(places[2]), 5.0] }
    expect(exemplars.transform_values { |exemplar| exemplar.first(2) }).to include(expected)
    expect(exemplars.keys.map(&:first).grep(/orders|queue|checkout/).size).to eq(4)
    expect(exemplars.values.map(&:last)).to all(be_between(before - 0.001, Time.now.to_f))
    # Prometheus' older format has none.
    expect(process.run("TaskerTelemetry.export(:prometheus)")).not_to include(places.last.first)
  end

  it "refer to the innermost span, and to the outer one when that is over" do
    process = traced
    outer, inner = process.run(<<~RUBY)
      TaskerTelemetry.span("outer") do
        inner = TaskerTelemetry.span("inner") { ORDERS.increment(status: "inner"); place }
        ORDERS.increment(status: "outer")
        [place, inner]
      end
    RUBY
    exemplars = parse_exemplars(process.run("TaskerTelemetry.export(:openmetrics)"))
    expect(exemplars[["orders_total", { "status" => "inner" }]].first).to eq(labels(inner))
    expect(exemplars[["orders_total", { "status" => "outer" }]].first).to eq(labels(outer))
  end

  it "refer to no span that is not sent" do
    process = traced(ratio: 0.0)
    process.run('TaskerTelemetry.span("checkout") { ORDERS.increment(status: "paid"); LATENCY.observe(0.5) }')
    page = process.run("TaskerTelemetry.export(:openmetrics)")
    expect(parse_page(page, :openmetrics)).to include(["orders_total", { "status" => "paid" }] => 1)
    expect(parse_exemplars(page)).to be_empty
  end

  it "are shown by every process of the machine, and go with their series" do
    one, other = Array.new(2) { traced }
    place = one.run('TaskerTelemetry.span("checkout") { ORDERS.increment(status: "paid"); place }')
    key = ["orders_total", { "status" => "paid" }]
    expect(parse_exemplars(other.run("TaskerTelemetry.export(:openmetrics)"))[key].first).to eq(labels(place))
    other.run('ORDERS.remove(status: "paid"); ORDERS.increment(status: "paid")')
    expect(parse_exemplars(one.run("TaskerTelemetry.export(:openmetrics)"))).not_to include(key)
  end

  it "are in the page for OTLP as well, which is binary" do
    process = traced
    place = process.run(<<~RUBY)
      TaskerTelemetry.span("checkout") do
        ORDERS.increment(3, status: "paid")
        DEPTH.set(-1.5)
        LATENCY.observe(0.5)
        place
      end
    RUBY
    encoding, page = process.run(<<~RUBY)
      page = TaskerTelemetry.export(:otlp)
      [page.encoding.name, Base64.strict_encode64(page)]
    RUBY
    expect(encoding).to eq("ASCII-8BIT")
    metrics = Otlp::Telemetry.metrics(Base64.strict_decode64(page))
    expect(pushed_totals(metrics)).to eq(page_totals(process.run("TaskerTelemetry.export(:openmetrics)")))
    expect(metrics.map { |metric| metric.resource["service.instance.id"] }.uniq)
      .to eq([process.run("TaskerTelemetry::MetricsBackend.instance.instance_id")])
    counted = metrics.select { |metric| metric.name.match?(/orders|checkout/) }
    exemplars = counted.flat_map(&:points).flat_map(&:exemplars)
    expect(exemplars.map { |exemplar| [exemplar.trace_id, exemplar.span_id, exemplar.value] })
      .to contain_exactly([*place, 3], [*place, 0.5])
  end
end
