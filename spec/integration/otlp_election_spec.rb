# frozen_string_literal: true

RSpec.describe "The process that pushes the metrics of all" do
  around { |example| ToldProcess.room { |room| (@room = room) && example.run } }
  around { |example| Collector.open { |collector| (@collector = collector) && example.run } }

  def pay(*processes)
    processes.each { |process| process.run('ORDERS.increment(status: "paid"); LATENCY.observe(0.5)') }
  end

  def await_total(total)
    @collector.await_metric("orders_total", within: 60) { |metric| metric.points.sum(&:value) == total }
  end

  # The time of the first push that was made after another time.
  def await_push_after(time)
    eventually(within: 60) do
      times = @collector.metrics.flat_map(&:points).map { |point| point.time_ns / 1e9 }
      times.select { |at| at > time }.min
    end
  end

  def setup(interval = 0.3)
    pushing(@room, @collector.http_endpoint, interval: interval)
  end

  it "is one of eight, and another when it is stopped, killed, shut down or at its end" do
    interval = 3
    spawned = Array.new(4) { @room.spawn(setup(interval)) }
    rest = spawned + Array.new(4) { |index| spawned[index / 2].fork }
    paid = 0
    pay_all = -> { pay(*rest) && (paid += rest.size) }
    pay_all.call
    await_total(paid)
    pusher, *more = pushers(rest, 2)
    expect(more).to be_empty

    # Its term is over one and a half intervals after it was heard of last, which somebody sees a quarter later.
    pusher.stop
    stopped = Time.now.to_f
    rest -= [pusher]
    pay_all.call
    expect(await_push_after(stopped)).to be < stopped + (2 * interval)
    pusher.resume
    rest += [pusher]
    pay_all.call
    await_total(paid)
    successor, *more = pushers(rest, 3)
    expect(more).to be_empty
    expect(successor).not_to eq(pusher)

    # Nobody waits for the dead, or for who says that it goes.
    [:kill, :end, ->(process) { process.run("TaskerTelemetry.shutdown(timeout: 20)") }].each do |leave|
      successor, = pushers(rest, 1)
      leave.to_proc.call(successor)
      gone = Time.now.to_f
      rest -= [successor]
      expect(await_push_after(gone)).to be < gone + interval
      pay_all.call
    end

    # The last that ends pushes what all have counted.
    rest.shuffle(random: Random.new(RSpec.configuration.seed)).each do |process|
      pay(process)
      paid += 1
      process.end
    end
    await_total(paid)
    @collector.drain
    expect(fallen(@collector.metrics)).to be_empty
    expect(pushed_totals(@collector.metrics)).to include(
      ["orders_total", { "status" => "paid" }] => paid, ["checkout_seconds", {}] => [paid, paid * 0.5, anything]
    )
  end

  it "sends nothing that it made before another one pushed, though it is elected again" do
    made, go_on = %w[made go-on].map { |name| "#{@room.directory}/#{name}" }
    elected = @room.spawn(setup(2))
    pay(elected)
    await_total(1)
    elected.run(<<~RUBY)
      backend = TaskerTelemetry::MetricsBackend.instance
      def backend.export(*)
        super.tap do
          File.write(#{made.dump}, "")
          sleep 0.01 until File.exist?(#{go_on.dump})
        end
      end
    RUBY
    eventually(within: 60) { File.exist?(made) }
    elected.stop
    other = @room.spawn(setup(2))
    pay(other)
    await_total(2)
    # It resigns, so that nothing stands in the way of the first one.
    other.end
    File.write(go_on, "")
    @collector.drain
    before = @collector.metrics
    elected.resume
    eventually(within: 60) { @collector.metrics.size > before.size }
    times = [before, @collector.metrics.drop(before.size)].map { |metrics| metrics.flat_map(&:points).map(&:time_ns) }
    expect(times.first.max).to be < times.last.min
  end

  it "is the last one of those that end at once, so that nothing is missing in the end" do
    total = 0
    3.times do
      processes = Array.new(6) { @room.spawn(setup(3600)) }
      # Each counts as late as it can.
      processes.each { |process| process.run('at_exit { 50.times { ORDERS.increment(status: "paid") } }; nil') }
      total += 50 * processes.size
      processes.map { |process| Thread.new { process.end } }.each(&:join)
      await_total(total)
    end
    expect(fallen(@collector.metrics)).to be_empty
  end

  it "is one after all sorts of forks" do
    parent = @room.spawn(setup)
    pay(parent)
    await_total(1)
    child = parent.fork
    grandchild = child.fork
    expect(pushers([parent, child, grandchild])).to eq([parent])
    # A child that is gone at once, and one that ends as programs do, push and take nothing.
    before = pushes([parent]).values.first
    parent.run("Process.wait(fork { exit! }); Process.wait(fork { nil }); nil")
    pay(parent, child, grandchild)
    await_total(4)
    expect(pushes([parent]).values.first).to be > before

    # The daemon is another process: the one that it was is gone, and held the office.
    parent.daemonize
    pay(parent)
    await_total(5)
    expect(pushers([parent, child, grandchild]).size).to eq(1)
    [child, grandchild].each(&:kill)
    pay(parent)
    await_total(6)
    expect(pushers([parent])).to eq([parent])
    pay(parent)
    parent.end
    await_total(7)
    expect(fallen(@collector.metrics)).to be_empty
  end

  it "forks without delay while a push is under way, and goes on with it" do
    FaultyCollector.open do |faulty|
      faulty.hang
      parent = @room.spawn(pushing(@room, faulty.endpoint, interval: 0.2))
      longest = Array.new(3) do |number|
        # The one before was cut off by the fork, and is tried again.
        eventually(within: 30) { faulty.requests.size > number }
        parent.run(<<~RUBY)
          started = TaskerTelemetry::Clock.now
          pid = fork { exit! }
          (TaskerTelemetry::Clock.now - started).tap { Process.wait(pid) }
        RUBY
      end.max
      # Whoever waited for the push would wait for OTEL_EXPORTER_OTLP_TIMEOUT.
      expect(longest).to be < 5
      pay(parent)
      faulty.ok
      eventually(within: 30) { faulty.metrics.any? { |metric| metric.name == "orders_total" } }
    end
  end

  [true, false].each do |preload|
    it "is one of Puma's, #{preload ? "with" : "without"} preload_app!, and the last totals come when Puma ends" do
      env = { "OTEL_EXPORTER_OTLP_ENDPOINT" => @collector.http_endpoint, "OTEL_METRIC_EXPORT_INTERVAL" => "300" }
      Application.open(env: env) do |application|
        # Collect blocks run where a page is made.
        File.write("#{application.directory}/config/initializers/release.rb", <<~RUBY)
          TaskerTelemetry.configure { |config| config.metrics.otlp.enabled = true }
          ORDERS = TaskerTelemetry.counter(:orders_total, "Orders placed")
          RELEASE = -> { ORDERS.increment; Process.pid.to_s }
          PAGES = TaskerTelemetry.counter(:pages_total, "Pages made", labels: %i[pid])
          TaskerTelemetry.collect { PAGES.increment(pid: Process.pid.to_s) }
        RUBY
        application.serve(workers: 3, preload: preload)
        asked = 0
        workers = []
        eventually(within: 60) do
          asked += 1
          (workers |= [application.request("GET", "/release").body]).size == 3
        end
        await_total(asked)
        before = pages
        eventually(within: 60) { pages.values.sum >= before.values.sum + 5 }
        expect(pages.reject { |pid, count| before[pid] == count }.size).to eq(1)

        pusher = (pages.to_a - before.to_a).first.first
        # Puma puts another worker in its place, which serves what is asked next.
        victim = workers.include?(pusher) ? pusher : workers.first
        Process.kill(:KILL, victim.to_i)
        before = pages
        eventually(within: 60) { pages.values.sum >= before.values.sum + 5 }

        10.times { application.request("GET", "/release") }
        application.stop
        await_total(asked + 10)
        @collector.drain
        expect(fallen(@collector.metrics)).to be_empty
      end
    end
  end

  # How often each process has made one, as the newest push has it.
  def pages
    metric = @collector.metrics.reverse.find { |one| one.name == "pages_total" }
    metric ? metric.points.to_h { |point| [point.attributes["pid"], point.value] } : {}
  end
end
