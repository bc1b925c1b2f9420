# frozen_string_literal: true

require "json"
require "net/http"

# What a collector does on bad days, and what becomes of an application that sends its spans there. Nothing here depends
# on how fast anything is: bounds are those that the gem promises, far from what a hung collector would take.
RSpec.describe "A collector that fails", :sending_process do
  # How long the end of a process may take for what it has not sent: TaskerTelemetry::EXIT_TIMEOUT, and what Ruby itself
  # takes on a machine that is busy.
  last_seconds = TaskerTelemetry::EXIT_TIMEOUT + 2

  # What no setting of ours asks for.
  forever = 3600

  # Names of the spans that were accepted, each as often as it was.
  def arrived
    collector.received_spans.map(&:name).sort
  end

  # All that were recorded, and no span twice.
  def expect_exactly(*names)
    eventually(within: 30) { collector.spans.size >= names.flatten.size }
    expect(arrived).to eq(names.flatten.sort)
    expect(collector.spans.map(&:identity).uniq.size).to eq(names.flatten.size)
  end

  def requests_that(&)
    eventually { collector.requests.select(&).then { |requests| requests unless requests.empty? } }
  end

  def status
    process.run("TaskerTelemetry.status[:traces]")
  end

  faults = {
    "never answers" => ->(collector) { collector.hang },
    "refuses connections" => ->(collector) { collector.refuse },
    "is not there" => ->(collector) { collector.kill },
    "cuts connections" => ->(collector) { collector.cut },
    "cuts connections while it answers" => ->(collector) { collector.cut_answer },
    "answers 429" => ->(collector) { collector.status(code: 429) },
    "answers 503 and asks to wait" => ->(collector) { collector.status(code: 503, retry_after: 1) }
  }

  describe "under an application that serves" do
    # A real Puma in the process; each request has a path of its own, by which its span is known.
    server = <<~'RUBY'
      require "puma"
      require "puma/server"
      app = TaskerTelemetry::Middleware.new(->(env) { [200, { "content-type" => "text/plain" }, ["ok"]] })
      $server = Puma::Server.new(app)
      $server.add_tcp_listener("127.0.0.1", 0)
      $server.run
      $server.connected_ports.first
    RUBY

    # How long each of the requests took, in seconds.
    def ask(port, paths)
      paths.each_slice(paths.size / 4).map do |part|
        Thread.new do
          Net::HTTP.start("127.0.0.1", port, read_timeout: 60) do |http|
            part.map do |path|
              begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
              expect(http.get(path).body).to eq("ok")
              Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun
            end
          end
        end
      end.flat_map(&:value)
    end

    def p99(seconds)
      format("%.2f ms", seconds.sort[(seconds.size * 0.99).floor] * 1e3)
    end

    it "no request waits for it, and no span of a request is lost" do
      port = process.run(server)
      paths = lambda do |fault|
        Array.new(100) { |number| "/#{fault.gsub(/\W+/, "-")}/#{number}" }
      end
      ask(port, paths.call("warm"))
      took = { "takes everything" => ask(port, paths.call("takes everything")) }
      faults.each do |fault, begin_to|
        begin_to.call(collector)
        accepted = collector.accepted.size
        took[fault] = ask(port, paths.call(fault))
        # All were answered, while the collector has taken none of it.
        expect(took[fault].size).to eq(100)
        expect(collector.accepted.size).to eq(accepted), fault
        collector.pid ? collector.ok : collector.start
        expect(process.run("TaskerTelemetry.flush(timeout: 60)", within: 90)).to be(true), fault
      end
      figures = took.map { |fault, seconds| "#{fault}: #{p99(seconds)}" }.join(", ")
      RSpec.configuration.reporter.message("p99 of requests when the collector #{figures}")
      asked = ["warm", "takes everything", *faults.keys].flat_map { |fault| paths.call(fault) }
      expect(collector.received_spans.map { |span| span.attributes["url.path"] }).to match_array(asked)
      eventually { expect(process.spans_counted).to eq("exported" => asked.size) }
    end
  end

  faults.each do |fault, begin_to|
    it "is taken up again by itself when it #{fault} and comes back" do
      process.run("record 'before'")
      expect_exactly("before")
      begin_to.call(collector)
      pid = process.run("record 'during'; Process.pid")
      eventually { status["last_error"] } unless fault == "never answers"
      collector.pid ? collector.ok : collector.start
      # Nothing flushes, nothing is called; of the one that never answers nothing is known before the time for an
      # answer is over.
      process.run("TaskerTelemetry.flush(timeout: 0)") if fault == "never answers"
      expect_exactly("before", "during")
      process.run("record 'after'")
      expect_exactly("before", "during", "after")
      expect(process.run("Process.pid")).to eq(pid)
      eventually { expect(process.spans_counted).to eq("exported" => 3) }
    end

    it "holds the end of a process up no longer than #{TaskerTelemetry::EXIT_TIMEOUT} s when it #{fault}" do
      begin_to.call(collector)
      process.run("record 'a', 'b', 'c'")
      ended = process.finish
      expect(ended.status.exitstatus).to eq(0)
      expect(ended.seconds).to be < last_seconds
      eventually { expect(process.spans_counted).to eq("shutdown" => 3) }
      expect(arrived).to eq([])
    end
  end

  it "keeps what a hung request holds, and sends it over a new connection when the time for an answer is over",
     env: { "OTEL_EXPORTER_OTLP_TIMEOUT" => "300" } do
    collector.hang
    process.run("record 'a'")
    requests_that { |request| request.status.nil? }
    expect(eventually { status["last_error"] }).to eq("no answer within 0.3 s")
    collector.ok
    expect_exactly("a")
  end

  [429, 503].each do |code|
    it "is left alone for as long as it asks to by #{code} with Retry-After" do
      collector.status(code: code, retry_after: 2)
      process.run("record 'a'")
      refused = requests_that { |request| request.status == code }.first.time
      # With what keeps processes from coming back together, which is little after the first failure.
      expect(status["retry_in"]).to be_between(0, 2.5)
      collector.ok
      expect_exactly("a")
      expect(collector.accepted.first.time - refused).to be >= 2
      expect(collector.requests.size).to eq(2)
    end

    it "is asked all the same, once, by a flush after #{code} with Retry-After" do
      collector.status(code: code, retry_after: forever)
      process.run("record 'a'")
      requests_that { |request| request.status == code }
      collector.ok
      expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
      expect_exactly("a")
    end
  end

  it "is obeyed when it refuses for good: those spans are dropped and counted, and the next are sent" do
    collector.status(code: 400)
    expect(process.run("record 'a', 'b'; TaskerTelemetry.flush(timeout: 30)")).to be(false)
    expect(status).to include("last_error" => "HTTP 400 Bad Request", "queued" => 0)
    collector.ok
    process.run("record 'c'")
    expect_exactly("c")
    eventually { expect(process.spans_counted).to eq("rejected" => 2, "exported" => 1) }
  end

  it "is believed when it takes a part" do
    collector.ok(rejected: 2)
    process.run("record 'a', 'b', 'c', 'd', 'e'; TaskerTelemetry.flush(timeout: 30)")
    eventually { expect(process.spans_counted).to eq("rejected" => 2, "exported" => 3) }
    expect(status["last_error"]).to match(/\A2 rejected/)
    # It is not sent again: which of them it was is not known.
    collector.ok
    process.run("record 'f'; TaskerTelemetry.flush(timeout: 30)")
    expect(arrived).to eq(%w[a b c d e f])
  end

  describe "while spans go on being recorded" do
    # A request is on its way and hangs, with one span in it; the queue behind it is empty.
    def hang_with_one_on_its_way
      collector.hang
      process.run("record 'first'")
      requests_that { |request| request.status.nil? }
    end

    it "is waited for with a bounded queue, and what is dropped is counted",
       env: { "OTEL_BSP_MAX_QUEUE_SIZE" => "100" } do
      hang_with_one_on_its_way
      process.run('record (1..1000).map { |number| format("span %d", number) }')
      expect(status).to include("queued" => 101, "queue_size" => 100)
      eventually { expect(process.spans_counted).to eq("queue_full" => 900) }
      collector.ok
      expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
      # Of equals those that came first stay.
      expect_exactly("first", (1..100).map { |number| "span #{number}" })
      eventually { expect(process.spans_counted).to eq("queue_full" => 900, "exported" => 101) }
    end

    it "costs the spans of the lowest priority first, and the critical ones last" do
      process.run(<<~'RUBY')
        TaskerTelemetry.configure { |config| config.traces.queue_size = 10 }
        %i[low normal high critical].each do |priority|
          TaskerTelemetry.events.map("#{priority}.*", backends: %i[traces], priority: priority)
        end
        def tell(priority, count) = count.times { |n| TaskerTelemetry.instrument("#{priority}.#{n}") { nil } }
      RUBY
      hang_with_one_on_its_way
      queued = lambda do
        process.run("TaskerTelemetry.flush(timeout: 0); TaskerTelemetry.status[:traces][:queued]")
      end
      process.run("tell(:low, 6); tell(:critical, 4)")
      expect(queued.call).to eq(11)
      # Each takes the place of the lowest that is there.
      process.run("tell(:normal, 4)")
      process.run("tell(:high, 4)")
      eventually { expect(process.spans_counted).to eq("queue_full" => 8) }
      # Critical ones take the place of all others; when there are none but critical ones, the newest has to go.
      process.run("tell(:critical, 9)")
      eventually { expect(process.spans_counted).to eq("queue_full" => 17) }
      collector.ok
      expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
      kinds = arrived.map { |name| name[/\A\w+/] }.tally
      expect(kinds).to eq("first" => 1, "critical" => 10)
    end
  end

  describe "when somebody waits for it" do
    before do
      collector.hang
      process.run("record 'a'")
      requests_that { |request| request.status.nil? }
    end

    it "lets a flush return in time with false, and with true when it is back" do
      delivered, seconds = process.run(<<~RUBY)
        begun = clock
        [TaskerTelemetry.flush(timeout: 0.3), clock - begun]
      RUBY
      expect(delivered).to be(false)
      expect(seconds).to be_between(0.3, 30)
      # A request that hangs is not given up for a flush; it would be for a new connection.
      collector.refuse
      expect(process.run("TaskerTelemetry.flush(timeout: 0.3)")).to be(false)
      collector.ok
      expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
      expect_exactly("a")
    end

    it "lets a shutdown return in time, after which nothing is recorded and nothing runs" do
      delivered, seconds = process.run(<<~RUBY)
        begun = clock
        [TaskerTelemetry.shutdown(timeout: 0.3), clock - begun]
      RUBY
      expect(delivered).to be(false)
      expect(seconds).to be_between(0.3, 30)
      process.run("record 'b'")
      # Its time was over before the thread was told to end.
      eventually { expect(process.run("background")).to eq([]) }
      expect(status["state"]).to eq("shutdown")
      collector.ok
      expect(process.run("[TaskerTelemetry.flush, TaskerTelemetry.shutdown]")).to eq([true, true])
      expect(process.finish.seconds).to be < last_seconds
      eventually { expect(process.spans_counted).to eq("shutdown" => 1) }
      expect(arrived).to eq([])
    end

    it "lets Timeout end a flush at once" do
      message, seconds = process.run(<<~RUBY)
        require "timeout"
        begun = clock
        begin
          Timeout.timeout(0.2) { TaskerTelemetry.flush(timeout: #{forever}) }
        rescue Timeout::Error => e
          [e.message, clock - begun]
        end
      RUBY
      expect(message).to eq("execution expired")
      expect(seconds).to be < 30
    end

    # Has a thread call it for a long time, stops the thread, and gives what came of it within the deadline.
    def stopped(call, stop)
      process.run(<<~RUBY)
        thread = Thread.new { TaskerTelemetry.#{call}(timeout: 3600) }
        thread.report_on_exception = false
        Thread.pass until thread.status == "sleep"
        thread.#{stop}
        begin
          thread.join(30) ? "ended" : "goes on"
        rescue IOError => e
          e.message
        end
      RUBY
    end

    it "lets Thread#kill and Thread#raise end a flush at once, which is as if it had never been" do
      expect(stopped("flush", "kill")).to eq("ended")
      expect(stopped("flush", "raise(IOError, 'enough')")).to eq("enough")
      collector.refuse
      collector.ok
      expect(process.run("record 'b'; TaskerTelemetry.flush(timeout: 30)")).to be(true)
      expect_exactly("a", "b")
    end

    { "kill" => "ended", "raise(IOError, 'enough')" => "enough" }.each do |stop, outcome|
      it "lets Thread##{stop[/\w+/]} end a shutdown at once, which counts what it leaves behind" do
        expect(stopped("shutdown", stop)).to eq(outcome)
        expect(status).to include("state" => "shutdown", "queued" => 0)
        expect(process.run("background")).to eq([])
        eventually { expect(process.spans_counted).to eq("shutdown" => 1) }
      end
    end

    it "lets other threads run, and record, during a flush" do
      expect(process.run(<<~RUBY)).to eq(1000)
        thread = Thread.new { TaskerTelemetry.flush(timeout: #{forever}) }
        Thread.pass until thread.status == "sleep"
        record (1..1000).map { |number| "span \#{number}" }
        thread.alive? ? 1000 : 0
      RUBY
      collector.refuse
      collector.ok
      expect(process.run("thread = Thread.list.last; thread.value", within: 90)).to be(true)
      expect(collector.spans.size).to be >= 1
    end

    it "lets a signal's handler record, flush and go on with what it interrupted" do
      process.run(<<~RUBY)
        trap(:USR1) do
          record "in the handler"
          $answers = [TaskerTelemetry.flush(timeout: 0.1), TaskerTelemetry.current_trace&.trace_id]
          TaskerTelemetry.instrument("handler.called") { nil }
          TaskerTelemetry.status
        end
        TaskerTelemetry.events.map("handler.*", backends: %i[metrics traces logs])
        nil
      RUBY
      seconds, trace_id = process.run(<<~RUBY)
        begun = clock
        TaskerTelemetry.span("interrupted") do |span|
          Thread.new { sleep 0.05 until $flushing; Process.kill(:USR1, Process.pid) }
          $flushing = true
          TaskerTelemetry.flush(timeout: 1)
          [clock - begun, span.trace_id]
        end
      RUBY
      expect(seconds).to be_between(1, 30)
      expect(process.run("$answers")).to eq([false, trace_id])
      collector.refuse
      collector.ok
      expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
      expect_exactly("a", "in the handler", "handler.called", "interrupted")
      expect(process.output).not_to match(/Error/)
      eventually { expect(process.spans_counted).to eq("exported" => 4) }
    end

    it "lets signals be handled at the end of a process, which goes on waiting" do
      process.run(<<~'RUBY')
        trap(:USR1) { $stderr.write("handled\n") }
        at_exit { $stderr.write("ending\n") }
        nil
      RUBY
      ended = Thread.new { process.finish }
      eventually { process.output.include?("ending") }
      Process.kill(:USR1, process.pid)
      eventually { process.output.include?("handled") }
      collector.refuse
      collector.ok
      expect(ended.value.seconds).to be < last_seconds
      expect_exactly("a")
      eventually { expect(process.spans_counted).to eq("exported" => 1) }
    end
  end

  it "changes nothing about how a process ends" do
    collector.hang
    process.run("record 'a'; $status = 3; nil")
    expect(process.finish.status.exitstatus).to eq(3)
  end

  it "is known to nobody in a process that has made no span: that ends at once, and has no thread" do
    collector.hang
    expect(process.run("background")).to eq([])
    ended = process.finish
    expect(ended.seconds).to be < TaskerTelemetry::EXIT_TIMEOUT
    expect(collector.requests).to eq([])
  end
end
