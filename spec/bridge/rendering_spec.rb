# frozen_string_literal: true

require "timeout"

RSpec.describe "Rendering" do
  def series
    60_000
  end

  before(:all) do
    TaskerTelemetry.configure { |config| config.metrics.max_series = series + 100 }
    TaskerTelemetry.reset!
    metric = TaskerTelemetry.counter(:bridge_rendering_total, "Many series", labels: %i[number])
    series.times { |number| metric.increment(number: number) }
  end

  after(:all) do
    TaskerTelemetry.reset!
    TaskerTelemetry.configure { |config| config.metrics.max_series = nil }
  end

  # The samples of the large metric on a page.
  def samples(page)
    page.scan(/^bridge_rendering_total\{/).size
  end

  # A thread that exports without end, once its first page is there.
  def exporting
    started = Queue.new
    thread = Thread.new do
      loop do
        page = TaskerTelemetry.export(:prometheus)
        started << page if started.empty?
      end
    end
    thread.report_on_exception = false
    expect(samples(started.pop)).to eq(series)
    yield thread
  ensure
    thread&.kill
    eventually { !thread&.alive? }
  end

  it "gives the same page in one piece and in many" do
    page = TaskerTelemetry::Native.page("json")
    chunks = []
    while (chunk = page.next_chunk)
      chunks << chunk
    end

    expect(chunks.size).to be > 3
    expect(chunks[..-2]).to all have_attributes(bytesize: be_between(64 * 1024, 512 * 1024))
    expect(chunks).to all have_attributes(encoding: Encoding::UTF_8, valid_encoding?: true)
    expect(JSON.parse(chunks.join)).to be_a(Hash)
    expect([page.next_chunk, page.next_chunk]).to eq([nil, nil])
    expect(samples(TaskerTelemetry.export(:prometheus))).to eq(series)
  end

  it "shows the state of its beginning" do
    metric = TaskerTelemetry.counter(:bridge_rendering_total, labels: %i[number])
    page = TaskerTelemetry::Native.page("prometheus")
    rendered = page.next_chunk
    metric.increment(number: "born while rendering")
    while (chunk = page.next_chunk)
      rendered << chunk
    end

    expect(samples(rendered)).to eq(series)
  ensure
    metric.remove(number: "born while rendering")
  end

  it "says which formats there are" do
    expect(TaskerTelemetry::Native.formats.keys).to eq(%w[prometheus openmetrics json csv otlp])
    %i[export page].each do |method|
      expect { TaskerTelemetry::Native.public_send(method, "xml") }
        .to raise_error(ArgumentError, /"xml" is not known; :prometheus, :openmetrics, :json, :csv, :otlp are/)
    end
  end

  it "marks what is no text as bytes" do
    page = TaskerTelemetry::Native.page("otlp")
    expect([TaskerTelemetry::Native.export("otlp"), page.next_chunk].map(&:encoding)).to all(eq(Encoding::BINARY))
    expect(TaskerTelemetry::Native.export("openmetrics").encoding).to eq(Encoding::UTF_8)
  ensure
    page&.close
  end

  it "ends where a page is closed" do
    page = TaskerTelemetry::Native.page("prometheus")
    page.next_chunk
    page.close
    page.close

    expect(page.next_chunk).to be_nil
  end

  it "counts on meanwhile, and loses nothing" do
    metric = TaskerTelemetry.counter(:bridge_meanwhile_total, labels: %i[number])
    exporting do
      200_000.times { |number| metric.increment(number: number % 7) }
    end

    expect(Array.new(7) { |number| metric.value(number: number) }.sum).to eq(200_000)
    metric.clear
  end

  it "can begin again after its thread was killed at any moment" do
    20.times do
      exporting do |thread|
        thread.kill
        expect(thread.join(60)).to be(thread)
      end
    end

    expect(samples(TaskerTelemetry.export(:prometheus))).to eq(series)
  end

  # Pages that stand still without the GVL: what is done to them is done in the middle, not between two of them.
  describe "held in the middle" do
    let(:native) { TaskerTelemetry::Native }

    # A thread that renders such a page. That this one goes on shows that the GVL is released.
    def held
      thread = Thread.new { native.export_held! }
      thread.report_on_exception = false
      eventually { native.held? }
      yield thread
    ensure
      native.release!
      thread.kill
      eventually { !thread.alive? }
    end

    it "lets other threads record, declare and export" do
      held do |thread|
        counter = TaskerTelemetry.counter(:bridge_held_total)
        counter.increment
        expect(TaskerTelemetry.export(:prometheus)).to include("\nbridge_held_total 1\n")
        native.release!
        expect(samples(thread.value)).to eq(series)
      end
    end

    it "ends when its thread is killed" do
      held do |thread|
        thread.kill
        expect(thread.join(60)).to be(thread)
      end
      expect(samples(TaskerTelemetry.export(:prometheus))).to eq(series)
    end

    it "ends with what another thread raises into it" do
      held do |thread|
        thread.raise(IOError, "enough")
        expect { thread.join(60) }.to raise_error(IOError, "enough")
      end
      expect(samples(TaskerTelemetry.export(:prometheus))).to eq(series)
    end

    it "ends when its time is up" do
      expect { Timeout.timeout(0.05) { native.export_held! } }.to raise_error(Timeout::Error)
    end

    it "handles a signal, and goes on where it was" do
      handled = false
      before = trap("USR2") { handled = TaskerTelemetry.counter(:bridge_held_signals_total).increment.nil? }
      signaller = Thread.new do
        eventually { native.held? }
        Process.kill(:USR2, Process.pid)
        eventually { handled }
        native.release!
      end
      page = native.export_held!
      signaller.join
      expect(samples(page)).to eq(series)
      expect(TaskerTelemetry.counter(:bridge_held_signals_total).value).to eq(1)
    ensure
      trap("USR2", before)
    end

    it "is no matter to a child that is forked meanwhile" do
      held do |thread|
        metric = TaskerTelemetry.counter(:bridge_held_children_total, labels: %i[number])
        pid = fork do
          metric.increment(number: 1)
          TaskerTelemetry.counter(:bridge_held_child_total).increment
          TaskerTelemetry.configure { |config| config.metrics.default_labels = { child: "1" } }
          metric.increment(number: 1)
          exit!(samples(TaskerTelemetry.export(:prometheus)) == series ? 0 : 1)
        end
        expect(eventually(within: 60) { Process.wait2(pid, Process::WNOHANG) }.last).to be_success
        native.release!
        expect(samples(thread.value)).to eq(series)
        expect(metric.clear).to be_positive
      end
    end
  end

  it "finishes under an interrupt that the thread has deferred" do
    page = nil
    thread = Thread.new do
      Thread.handle_interrupt(IOError => :never) do
        Thread.current.raise(IOError, "deferred")
        page = TaskerTelemetry.export(:prometheus)
      end
    end
    thread.report_on_exception = false

    expect { thread.join(20) }.to raise_error(IOError, "deferred")
    expect(samples(page)).to eq(series)
  end

  it "works in a trap handler" do
    page = nil
    before = trap("USR2") { page = TaskerTelemetry::Native.export("prometheus") }
    Process.kill(:USR2, Process.pid)
    eventually { page }

    expect(samples(page)).to eq(series)
  ensure
    trap("USR2", before)
  end

  it "lets signals be handled in between, and goes on where it was" do
    metric = TaskerTelemetry.counter(:bridge_signals_total)
    handled = 0
    before = trap("USR2") do
      handled += 1
      metric.increment
    end
    sender = Thread.new do
      200.times do
        Process.kill(:USR2, Process.pid)
        Thread.pass
      end
    end
    pages = []
    pages << samples(TaskerTelemetry.export(:prometheus)) while sender.alive?
    sender.join

    expect(handled).to be_positive
    expect(pages).to all eq(series)
    expect(metric.value).to eq(handled)
  ensure
    trap("USR2", before)
  end

  it "of one page is one thread's at a time" do
    page = TaskerTelemetry::Native.page("prometheus")
    chunks = Queue.new
    errors = Queue.new
    threads = Array.new(4) do
      Thread.new do
        while (chunk = page.next_chunk)
          chunks << chunk
        end
      rescue TaskerTelemetry::NativeError => e
        errors << e.message
        retry
      end
    end
    threads.each(&:join)

    expect(Array.new(chunks.size) { chunks.pop }.sum { |chunk| samples(chunk) }).to eq(series)
    expect(Array.new(errors.size) { errors.pop }).to all eq("another thread is reading this page")
  end

  it "does not keep a child from working that is forked meanwhile" do
    metric = TaskerTelemetry.counter(:bridge_children_total, labels: %i[number])
    exporting do
      30.times do |number|
        pid = fork do
          metric.increment(number: number)
          TaskerTelemetry.counter(:"bridge_child_#{number}_total").increment
          TaskerTelemetry.configure { |config| config.metrics.default_labels = { child: number.to_s } }
          metric.increment(number: number)
          exit!(samples(TaskerTelemetry.export(:prometheus)) == series ? 0 : 1)
        end
        _, status = eventually(within: 20) { Process.wait2(pid, Process::WNOHANG) }
        expect(status).to be_success
      ensure
        Process.kill(:KILL, pid) unless status
      end
    end

    expect(metric.clear).to be_positive
  end

  it "leaves a page that was begun before a fork to both" do
    page = TaskerTelemetry::Native.page("prometheus")
    first = page.next_chunk
    rest = lambda do
      count = samples(first)
      while (chunk = page.next_chunk)
        count += samples(chunk)
      end
      count
    end
    pid = fork { exit!(rest.call == series ? 0 : 1) }

    expect(rest.call).to eq(series)
    expect(Process.wait2(pid).last).to be_success
  end
end
