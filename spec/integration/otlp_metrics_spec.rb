# frozen_string_literal: true

require "net/http"

RSpec.describe "Metrics that are pushed by OTLP" do
  around { |example| ToldProcess.room { |room| (@room = room) && example.run } }

  def total(collector, status = "paid")
    points = collector.metrics.reverse.find { |metric| metric.name == "orders_total" }&.points
    points&.find { |point| point.attributes["status"] == status }&.value
  end

  def await_total(collector, total)
    eventually(within: 30) { expect(total(collector)).to eq(total) }
  end

  def monotonic
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  describe "to a real collector" do
    around { |example| Collector.open { |collector| (@collector = collector) && example.run } }

    { http_protobuf: :http_endpoint, grpc: :grpc_endpoint }.each do |protocol, endpoint|
      it "arrive as the page has them, by #{protocol}" do
        process = @room.spawn(pushing(@room, @collector.public_send(endpoint), interval: 3600, protocol: protocol))
        before = Time.now.to_i
        process.run(<<~RUBY)
          ORDERS.increment(9_007_199_254_740_993, status: "paid")
          ORDERS.increment(0.5, status: "part \\"paid\\"\\n")
          DEPTH.set(-2.5, queue: "mail")
          [0.05, 0.5, 0.7, 5].each { |seconds| LATENCY.observe(seconds) }
        RUBY
        expect(process.run("TaskerTelemetry.flush(timeout: 20)")).to be(true)
        @collector.drain
        page = process.run("TaskerTelemetry.export(:openmetrics)")
        totals = pushed_totals(@collector.metrics)
        expect(totals).to eq(page_totals(page))
        expect(totals.size).to eq(4)
        expect(totals[["orders_total", { "status" => "paid" }]]).to eq(9_007_199_254_740_993)

        metrics = @collector.metrics.to_h { |metric| [metric.name, metric] }
        expect(metrics["orders_total"]).to have_attributes(kind: :sum, temporality: :cumulative, monotonic: true,
                                                           description: "Orders placed")
        expect(metrics["checkout_seconds"]).to have_attributes(kind: :histogram, temporality: :cumulative, unit: "s")
        expect(metrics["queue_depth"].kind).to eq(:gauge)
        expect(metrics["orders_total"].resource).to include(
          "service.name" => "shop",
          "service.instance.id" => process.run("TaskerTelemetry::MetricsBackend.instance.instance_id")
        )
        point = metrics["checkout_seconds"].points.first
        expect(point.start_ns).to be_between(before * 1_000_000_000, point.time_ns)
        expect(process.run("status[:last_error]")).to be_nil
      end
    end

    it "carry exemplars of spans that arrive" do
      traces = "config.traces.enabled = true; config.traces.endpoint = #{@collector.http_endpoint.dump}"
      process = @room.spawn(pushing(@room, @collector.http_endpoint, interval: 3600, more: traces))
      process.run(<<~RUBY)
        TaskerTelemetry.span("checkout") do
          ORDERS.increment(status: "paid")
          LATENCY.observe(0.5)
        end
        ORDERS.increment(status: "open")
      RUBY
      expect(process.run("TaskerTelemetry.flush(timeout: 20)")).to be(true)
      @collector.drain
      span = @collector.spans.find { |one| one.name == "checkout" }
      points = @collector.metrics.flat_map(&:points)
      exemplars = points.flat_map(&:exemplars).uniq
      expect(exemplars.map { |exemplar| [exemplar.trace_id, exemplar.span_id] }.uniq).to eq([span.identity])
      expect(exemplars.map(&:value)).to contain_exactly(1, 0.5)
      expect(exemplars.map(&:time_ns)).to all(be_between(span.start_ns, span.end_ns))
      expect(points.find { |point| point.attributes["status"] == "open" }.exemplars).to be_empty
    end

    it "hold what collect blocks find, whatever other blocks do" do
      process = @room.spawn(pushing(@room, @collector.http_endpoint))
      process.run(<<~'RUBY')
        $seen = 0
        TaskerTelemetry.collect { raise "not today" }
        TaskerTelemetry.collect { throw :somewhere }
        TaskerTelemetry.collect { DEPTH.set($seen += 1, queue: "mail") }
        TaskerTelemetry.collect { sleep }
        Thread.report_on_exception = false
      RUBY
      seen = 0
      3.times do
        metric = @collector.await_metric("queue_depth") { |one| one.points.first.value > seen }
        seen = metric.points.first.value
      end
      process.run('ORDERS.increment(status: "paid")')
      await_total(@collector, 1)
    end

    it "go on when making a page takes many intervals in each of the processes" do
      slow = "TaskerTelemetry.collect { sleep 1.5 }"
      processes = Array.new(2) { @room.spawn(pushing(@room, @collector.http_endpoint, interval: 0.2) + slow) }
      processes.each { |process| process.run('ORDERS.increment(status: "paid")') }
      await_total(@collector, 2)
      expect(pushers(processes, 3).size).to eq(1)
    end

    it "are there in full when a process has ended that was not there for long" do
      [%(exit), %(raise "so it ends"), %(Thread.new { exit(3) }.join)].each.with_index(1) do |ending, number|
        code = <<~RUBY
          require "tasker_telemetry"
          #{pushing(@room, @collector.http_endpoint, interval: 3600)}
          at_exit { ORDERS.increment(status: "paid") }
          ORDERS.increment(6, status: "paid")
          #{ending}
        RUBY
        run_ruby(code, env: { "RACK_ENV" => nil })
        await_total(@collector, 7 * number)
      end
      expect(fallen(@collector.metrics)).to be_empty
    end

    it "go on when the collector comes late, and when it was away" do
      @collector.kill
      process = @room.spawn(pushing(@room, @collector.http_endpoint))
      process.run('ORDERS.increment(status: "paid")')
      eventually(within: 30) { process.run("status[:failed]") > 1 }
      expect(process.run("status[:last_error]")).to include("refused")
      @collector.start
      await_total(@collector, 1)
      @collector.kill
      process.run('ORDERS.increment(status: "paid")')
      failed = process.run("status[:failed]")
      eventually(within: 30) { process.run("status[:failed]") > failed }
      @collector.start
      await_total(@collector, 2)
      expect(fallen(@collector.metrics)).to be_empty
    end
  end

  describe "to a collector that is watched" do
    around { |example| FaultyCollector.open { |collector| (@collector = collector) && example.run } }

    it "go where OpenTelemetry's variables say, as often as they say" do
      env = { "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS" => "x-key=general",
              "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" => "#{@collector.endpoint}/tenant/metrics",
              "OTEL_EXPORTER_OTLP_METRICS_HEADERS" => "x-key=of%20metrics",
              "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION" => "gzip", "OTEL_METRIC_EXPORT_INTERVAL" => "150",
              "OTEL_SERVICE_NAME" => "named",
              "OTEL_RESOURCE_ATTRIBUTES" => "team=payments,service.instance.id=pod-7" }
      process = @room.spawn(<<~RUBY, env: env)
        TaskerTelemetry.configure do |config|
          config.metrics.arena = "#{@room.directory}/arena"
          config.metrics.otlp.enabled = true
        end
        TaskerTelemetry.counter(:orders_total).increment
      RUBY
      eventually(within: 30) { @collector.requests.size >= 3 }
      expect(@collector.requests.first).to have_attributes(path: "/tenant/metrics", packed?: true,
                                                           headers: include("x-key" => "of metrics"))
      expect(@collector.metrics.last.resource).to include("service.name" => "named", "team" => "payments")
      expect(@collector.metrics.last.resource["service.instance.id"])
        .to eq(process.run("TaskerTelemetry::MetricsBackend.instance.instance_id"))
      names = @collector.requests.last.body.scan(/service\.name|service\.instance\.id/).tally
      expect(names["service.instance.id"]).to eq(names["service.name"])
      status = process.run("TaskerTelemetry.status[:export][:otlp]")
      expect(status).to include("enabled" => true, "interval" => 0.15, "protocol" => "http/protobuf")
      expect(status.to_s).not_to include("of metrics")
    end

    it "are not pushed where the environment, or the application, switches that off" do
      off = { "config.metrics.enabled = false" => {}, "config.metrics.otlp.enabled = false" => {},
              "" => { "OTEL_SDK_DISABLED" => "true" } }
      off.each do |more, env|
        process = @room.spawn(pushing(@room, @collector.endpoint, interval: 0.1, more: more), env: env)
        process.run('ORDERS.increment(status: "paid")')
        expect(process.run("TaskerTelemetry.flush")).to be(true)
        expect(process.run("[status[:enabled], status[:pushed]]")).to eq([false, 0])
        expect(process.end).to be < 5
      end
      expect(@collector.requests).to be_empty
    end

    it "are not said to be pushed when the page cannot be made" do
      process = @room.spawn(pushing(@room, @collector.endpoint, interval: 3600))
      process.run("TaskerTelemetry.flush(timeout: 20)")
      before = @collector.requests.size
      failed = process.run(<<~RUBY)
        backend = TaskerTelemetry::MetricsBackend.instance
        def backend.export(*) = raise("no page today")
        [TaskerTelemetry.flush(timeout: 20), status[:failed], status[:last_error]]
      RUBY
      expect(failed).to eq([false, 1, "the page of metrics could not be made"])
      process.run("class << TaskerTelemetry::MetricsBackend.instance; remove_method(:export); end; nil")
      expect(process.run("TaskerTelemetry.flush(timeout: 20)")).to be(true)
      expect(@collector.requests.size).to eq(before + 1)
    end

    it "take no time of a process that waits for a collector which does not answer" do
      @collector.hang
      elected, other = Array.new(2) { @room.spawn(pushing(@room, @collector.endpoint, interval: 3600)) }
      elected.run('ORDERS.increment(status: "paid")')
      eventually(within: 30) { @collector.requests.size == 1 }
      took, taken = elected.run(<<~RUBY)
        started = TaskerTelemetry::Clock.now
        taken = TaskerTelemetry.flush(timeout: 0.3)
        [TaskerTelemetry::Clock.now - started, taken]
      RUBY
      expect(taken).to be(false)
      expect(took).to be_between(0.3, 5)
      # Metrics are another's to push: at once, and without a request.
      expect(other.run("TaskerTelemetry.flush(timeout: 20)")).to be(true)
      expect(other.end).to be < TaskerTelemetry::EXIT_TIMEOUT
      expect(elected.end).to be < TaskerTelemetry::EXIT_TIMEOUT + 5
      expect(@collector.requests.size).to be <= 2
    end

    it "are there once when a process has ended whose spans were taken long before" do
      FaultyCollector.open do |traces|
        process = @room.spawn(pushing(@room, @collector.endpoint, interval: 3600, more: <<~RUBY))
          config.traces.enabled = true
          config.traces.endpoint = #{traces.endpoint.inspect}
        RUBY
        expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
        before = @collector.requests.size
        traces.slow(seconds: 0.3)
        @collector.slow(seconds: 1)
        process.run('ORDERS.increment(7, status: "paid"); TaskerTelemetry.span("last") { nil }')
        expect(process.run("TaskerTelemetry.shutdown(timeout: 30)", within: 60)).to be(true)
        expect([@collector.requests.size - before, total(@collector)]).to eq([1, 7])
        expect(traces.received_spans.map(&:name)).to eq(["last"])
      end
    end

    it "hold what a process counts that ends while the elected one ends, too late for its last push" do
      elected, other = Array.new(2) { @room.spawn(pushing(@room, @collector.endpoint, interval: 3600)) }
      elected.run('ORDERS.increment(status: "paid"); TaskerTelemetry.flush(timeout: 20)')
      eventually(within: 30) { total(@collector) == 1 }
      before = @collector.requests.size
      @collector.hang
      ending = Thread.new { elected.run("TaskerTelemetry.shutdown(timeout: 2)") }
      eventually(within: 30) { @collector.requests.size > before }
      other.run('ORDERS.increment(6, status: "paid")')
      @collector.ok
      other.end
      expect(ending.value).to be(false)
      expect(total(@collector)).to eq(7)
    end

    it "go to one place when the configuration says another, and when the arena is another" do
      FaultyCollector.open do |after|
        process = @room.spawn(pushing(@room, @collector.endpoint, interval: 0.1))
        eventually(within: 30) { @collector.requests.any? }
        process.run(<<~RUBY)
          TaskerTelemetry.configure do |config|
            config.metrics.otlp.endpoint = #{after.endpoint.dump}
            config.metrics.arena = "#{@room.directory}/other"
          end
          ORDERS.increment(status: "paid")
        RUBY
        await_total(after, 1)
        before = @collector.requests.size
        await_requests(after, 5)
        expect(@collector.requests.size).to be <= before + 1
        expect(after.metrics.last.resource["service.instance.id"])
          .to eq(process.run("TaskerTelemetry::MetricsBackend.instance.instance_id"))

        process.run("TaskerTelemetry.configure { |config| config.metrics.otlp.enabled = false }; nil")
        expect(process.run("status[:enabled]")).to be(false)
        # Whoever goes on in that arena does not have to wait.
        other = @room.spawn(pushing(@room, @collector.endpoint, interval: 3600).sub("/arena", "/other"))
        expect(other.run("TaskerTelemetry.flush(timeout: 20)")).to be(true)
        expect(other.run("status[:pushed]")).to be_positive
      end
    end

    def await_requests(collector, count)
      before = collector.requests.size
      eventually(within: 30) { collector.requests.size >= before + count }
    end
  end
end
