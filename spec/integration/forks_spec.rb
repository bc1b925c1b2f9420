# frozen_string_literal: true

require "json"
require "net/http"

# However a process forks: each span and each count is there exactly once, no fork waits for a collector, and how a
# process ends is the application's business.
RSpec.describe "Forks", :sending_process do
  # Spans wait until somebody flushes, or the process ends.
  later = { "OTEL_BSP_SCHEDULE_DELAY" => "3600000" }

  # Seconds that a fork may take while a collector hangs for an hour.
  longest_fork = 1

  # What the processes of an example have in common.
  helpers = <<~'RUBY'
    COUNT = TaskerTelemetry.counter(:told_total, "Spans that were told", labels: %i[who])
    # One span, and one count.
    def tell(who, number = nil)
      TaskerTelemetry.span([who, number].compact.join(" ")) { COUNT.increment(who: who) }
    end
    # The background's thread, as soon as it has given itself its name.
    def running
      Thread.pass until background.size == 1
      background
    end
    # Waits for a child and gives how it ended.
    def wait(pid) = Process.wait2(pid).last.exitstatus
    nil
  RUBY

  before { process.run(helpers) }

  # Flushes the process that is left and checks that all is there: spans by their names, counts by the first words.
  def expect_once(*names)
    expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
    expect_arrived(*names)
    expect(told).to eq(names.flatten.map { |name| name[/\A\D+/].strip }.tally)
  end

  # What was counted, by who told it.
  def told
    page = process.run("TaskerTelemetry.export(:prometheus)")
    page.scan(/^told_total\{who="([^"]*)"\} (\d+)$/).to_h.transform_values(&:to_i)
  end

  # A fork cuts the parent's request off, whose spans are sent again: the same ids, by the same process.
  def expect_arrived(*names)
    eventually(within: 30) { collector.spans.size >= names.flatten.size }
    expect(collector.spans.map(&:name)).to match_array(names.flatten)
    senders = collector.received_spans.group_by(&:identity).transform_values do |spans|
      spans.map { |span| span.resource["process.pid"] }.uniq.size
    end
    expect(senders.values.uniq).to eq([1])
  end

  def hang
    collector.hang
    process.run("record 'hung'")
    eventually { collector.requests.any? { |request| request.status.nil? } }
  end

  def go_on
    collector.refuse
    collector.ok
  end

  it "leave what the parent had queued to the parent", env: later do
    expect(process.run(<<~RUBY)).to eq([0, 0, 0])
      tell("parent", 1)
      tell("parent", 2)
      children = Array.new(3) { |number| fork { tell("child", number) } }
      tell("parent", 3)
      children.map { |pid| wait(pid) }
    RUBY
    expect_once((1..3).map { |number| "parent #{number}" }, (0..2).map { |number| "child #{number}" })
  end

  it "find nothing running in a parent that has not begun, and begin in the child by themselves" do
    expect(process.run(<<~RUBY)).to eq([[], 0])
      pid = fork { tell("child"); exit!(TaskerTelemetry.flush(timeout: 30) && running.size == 1 ? 0 : 1) }
      [background, wait(pid)]
    RUBY
    expect_once("child")
  end

  it "stop the background of the parent and start it again, which is a thread that says what it is" do
    before, after = process.run(<<~RUBY)
      tell("parent", 1)
      before = running
      wait(fork { exit!(0) })
      [before, running]
    RUBY
    expect([before.size, after.size]).to eq([1, 1])
    expect(after).not_to eq(before)
    process.run("tell('parent', 2)")
    expect_arrived("parent 1", "parent 2")
  end

  it "of forks are forks all the same", env: later do
    expect(process.run(<<~RUBY)).to eq(0)
      tell("parent")
      wait(fork do
        tell("child", 1)
        status = wait(fork do
          tell("grandchild", 1)
          exit(wait(fork { tell("last") }))
        end)
        tell("child", 2)
        exit(status)
      end)
    RUBY
    expect_once("parent", "child 1", "child 2", "grandchild 1", "last")
  end

  it "change nothing about how a child ends, and send what it has told unless it ends without a word", env: later do
    expect(process.run(<<~RUBY)).to eq([0, 3, 1, 4, 9])
      tell("parent")
      children = [
        fork { tell("returns") },
        fork { tell("exits"); exit(3) },
        fork { $stderr.reopen(File::NULL); tell("raises"); raise "on purpose" },
        fork { tell("flushes"); TaskerTelemetry.flush(timeout: 30); exit!(4) }
      ]
      children.map { |pid| wait(pid) } <<
        Process.wait2(fork { tell("killed"); TaskerTelemetry.flush(timeout: 30); Process.kill(:KILL, Process.pid) }).last.termsig
    RUBY
    expect_once("parent", "returns", "exits", "raises", "flushes", "killed")
  end

  it "lose what a child has not sent when it ends by exit!, and nothing else", env: later do
    expect(process.run(<<~RUBY)).to eq(5)
      tell("parent")
      wait(fork { record "lost"; exit!(5) })
    RUBY
    expect_once("parent")
  end

  it "by IO.popen are no different", env: later do
    expect(process.run(<<~RUBY)).to eq("from the child")
      tell("parent")
      io = IO.popen("-")
      if io.nil?
        tell("child")
        print "from the child"
        exit
      end
      io.read.tap { io.close }
    RUBY
    expect_once("parent", "child")
  end

  it "that only run another program cost nothing", env: later do
    expect(process.run(<<~RUBY)).to eq(["ok\n", true, 0])
      tell("parent", 1)
      before = running
      answers = [`echo ok`, system("true"), wait(spawn("true"))]
      raise "the background was disturbed" unless background == before
      tell("parent", 2)
      answers
    RUBY
    expect_once("parent 1", "parent 2")
  end

  it "by Process.daemon take what waits along, since there is nobody else to send it", env: later do
    process.run(<<~RUBY)
      wait(fork do
        tell("before", 1)
        TaskerTelemetry.flush(timeout: 30)
        tell("before", 2)
        tell("before", 3)
        TaskerTelemetry.span("around") { Process.daemon(true, true) }
        tell("daemon")
        exit
      end)
    RUBY
    expect_arrived("before 1", "before 2", "before 3", "daemon", "around")
    expect(told).to eq("before" => 3, "daemon" => 1)
  end

  it "by Process.daemon take a batch along that a collector has not taken" do
    hang
    process.run(<<~RUBY)
      pid = fork do
        record "hung in the child"
        TaskerTelemetry.flush(timeout: 0.5)
        Process.daemon(true, true)
        tell("daemon")
        TaskerTelemetry.flush(timeout: 60)
        exit
      end
      wait(pid)
    RUBY
    go_on
    expect_arrived("hung", "hung in the child", "daemon")
  end

  it "by a Process.daemon that fails leave all where it was", env: later do
    expect(process.run(<<~RUBY)).to eq("as Ruby does")
      tell("parent", 1)
      begin
        Process.daemon(1, 2, 3)
      rescue ArgumentError
        "as Ruby does"
      end.tap { tell("parent", 2) }
    RUBY
    expect_once("parent 1", "parent 2")
  end

  it "inside a span have spans that are its children, while the span itself is the parent's", env: later do
    statuses, trace_id, span_id = process.run(<<~RUBY)
      pid = ids = nil
      TaskerTelemetry.span("around") do |span|
        ids = [span.trace_id, span.span_id]
        statuses = [wait(fork { tell("child") }), wait(fork { TaskerTelemetry.span("nested") { exit } })]
        # In this child the block is left as it is in the parent; the span is not the child's to send.
        pid = fork
        ids.unshift(statuses)
      end
      exit!(TaskerTelemetry.flush(timeout: 30) ? 0 : 1) unless pid
      ids.first << wait(pid)
      ids
    RUBY
    expect(statuses).to eq([0, 0, 0])
    expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
    expect_arrived("around", "child", "nested")
    around, *children = collector.spans.partition { |span| span.name == "around" }.flatten
    expect(around.span_id).to eq(span_id)
    expect(children.map { |span| [span.trace_id, span.parent_id] }.uniq).to eq([[trace_id, span_id]])
    pids = collector.spans.map { |span| span.resource["process.pid"] }
    expect(pids.uniq.size).to eq(3)
  end

  it "give each process ids of its own" do
    process.run(<<~RUBY)
      record "parent"
      Array.new(4) { fork { record Array.new(100) { "child" } } }.each { |pid| wait(pid) }
      record Array.new(100) { "parent" }
      TaskerTelemetry.flush(timeout: 30)
    RUBY
    expect_arrived(Array.new(400) { "child" }, Array.new(101) { "parent" })
    expect(collector.spans.map(&:trace_id).uniq.size).to eq(501)
  end

  describe "while a collector hangs" do
    before { hang }

    it "take no longer than #{longest_fork} s, and spans go on where they were" do
      longest, statuses = process.run(<<~RUBY)
        children = Array.new(5) do |number|
          begun = clock
          [fork { exit!(0) }, clock - begun]
        end
        [children.map(&:last).max, children.map { |pid, _| wait(pid) }]
      RUBY
      expect(longest).to be < longest_fork
      expect(statuses.uniq).to eq([0])
      go_on
      expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
      expect_arrived("hung")
    end

    it "in the middle of another thread's flush end neither of them" do
      longest, delivered = process.run(<<~RUBY)
        flush = Thread.new { TaskerTelemetry.flush(timeout: 60) }
        Thread.pass until flush.status == "sleep"
        longest = Array.new(5) do |number|
          begun = clock
          pid = fork { tell("child", number); exit!(TaskerTelemetry.flush(timeout: 0.1) ? 1 : 0) }
          took = clock - begun
          wait(pid).zero? or raise "the child delivered to a collector that hangs"
          took
        end.max
        [longest, flush.alive?]
      RUBY
      expect(longest).to be < longest_fork
      expect(delivered).to be(true)
      go_on
      expect(process.run("Thread.list.last.value", within: 90)).to be(true)
      expect_arrived("hung")
    end

    it "leave a child that ends at once unharmed, whatever it has inherited" do
      seconds = process.run(<<~RUBY)
        begun = clock
        Array.new(3) { fork { exit } }.each { |pid| wait(pid).zero? or raise "it failed" }
        clock - begun
      RUBY
      # It waits for nothing: it has told nothing.
      expect(seconds).to be < TaskerTelemetry::EXIT_TIMEOUT
      go_on
      expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
      expect_arrived("hung")
    end

    it "leave the end of a child that has told something bounded" do
      seconds = process.run(<<~RUBY)
        begun = clock
        wait(fork { tell("child") }) == 0 or raise "it failed"
        clock - begun
      RUBY
      expect(seconds).to be < TaskerTelemetry::EXIT_TIMEOUT + 2
      expect(process.spans_counted).to eq("shutdown" => 1)
    end

    it "bypass the hooks without harm, which a child notices by itself" do
      # fork(2) itself, with the lock of Ruby's held.
      expect(process.run(<<~RUBY)).to eq([0, true])
        require "fiddle"
        bypass = Fiddle::Function.new(Fiddle.dlopen(nil)["fork"], [], Fiddle::TYPE_INT, need_gvl: true)
        pid = bypass.call
        if pid.zero?
          record "bypassed"
          exit!(TaskerTelemetry.flush(timeout: 0.1) ? 1 : 0)
        end
        [wait(pid), running.size == 1]
      RUBY
      go_on
      expect(process.run(<<~RUBY)).to eq(0)
        pid = bypass.call
        if pid.zero?
          tell("child")
          exit!(TaskerTelemetry.flush(timeout: 30) ? 0 : 1)
        end
        wait(pid)
      RUBY
      expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
      expect_arrived("hung", "child")
    end
  end

  it "many in a row, while threads tell and flush, lose nothing and tell nothing twice" do
    told = process.run(<<~RUBY, within: 120)
      stop = false
      threads = Array.new(3) do |thread|
        Thread.new do
          count = 0
          until stop
            tell("thread \#{"abc"[thread]}", count += 1)
            Thread.pass
            sleep 0.001
          end
          count
        end
      end
      flusher = Thread.new { TaskerTelemetry.flush(timeout: 0.05) until stop }
      children = Array.new(50) { |number| fork { tell("child", number) } }
      statuses = children.map { |pid| wait(pid) }
      stop = true
      flusher.join
      raise "children ended with \#{statuses.tally}" unless statuses.uniq == [0]
      threads.map(&:value)
    RUBY
    threads = told.zip(%w[a b c]).flat_map do |count, thread|
      (1..count).map { |number| "thread #{thread} #{number}" }
    end
    expect_once(threads, (0..49).map { |number| "child #{number}" })
  end

  describe "of Puma", env: later do
    # Each request's span has its path, and which process answered.
    def serve(application, **settings)
      File.write("#{application.directory}/config/initializers/traces.rb", <<~RUBY)
        TaskerTelemetry.configure { |config| config.traces.enabled = true }
        TaskerTelemetry.span("at boot") { nil }
      RUBY
      application.serve(workers: 3, **settings)
    end

    [true, false].each do |preload|
      it "send each request's span once, #{preload ? "with" : "without"} preload_app" do
        Application.open(env: { "OTEL_EXPORTER_OTLP_ENDPOINT" => collector.endpoint }.merge(later)) do |application|
          serve(application, preload: preload)
          answered = Array.new(4) do |thread|
            Thread.new { Array.new(25) { |n| application.request("GET", "/index?#{thread}-#{n}")["x-worker"] } }
          end.flat_map(&:value)
          expect(answered.uniq.size).to be >= 1
          application.stop
          expect(application.log).not_to match(/Error/)
          # Where the application is loaded by each worker, each has booted.
          boots = preload ? 1 : 3
          eventually(within: 30) { collector.spans.size >= 100 + boots }
          expect(collector.received_spans.map(&:name).tally).to eq("GET pages#index" => 100, "at boot" => boots)
          expect(collector.spans.size).to eq(100 + boots)
          by_worker = collector.spans.reject { |span| span.name == "at boot" }
                               .map { |span| span.resource["process.pid"].to_s }
          expect(by_worker.tally).to eq(answered.tally)
          page = application.boot("puts TaskerTelemetry.export(:prometheus)",
                                  env: { "OTEL_SDK_DISABLED" => "true" }).out
          expect(page).to match(/^tasker_telemetry_exported_spans_total #{100 + boots}$/)
        end
      end
    end
  end
end
