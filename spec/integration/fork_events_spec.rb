# frozen_string_literal: true

RSpec.describe "Events during which a process forks", :sending_process,
               env: { "OTEL_BSP_SCHEDULE_DELAY" => "3600000" } do
  before { process.run(<<~'RUBY') }
    TaskerTelemetry.configure { |config| config.logs.enabled = true }
    TaskerTelemetry.events.map("order.*", backends: %i[metrics traces logs])
    # Flushes and ends a child, of which nothing must be left current.
    def leave
      delivered = TaskerTelemetry.flush(timeout: 30)
      exit!(delivered && TaskerTelemetry.current_trace.nil?)
    end
    def wait(pid) = Process.wait2(pid).last.exitstatus
    nil
  RUBY

  def counted(name)
    process.run("TaskerTelemetry.export(:prometheus)")[/^#{name} (\d+)$/, 1].to_i
  end

  it "are ended by the process that began them" do
    status = process.run(<<~RUBY)
      pid = nil
      TaskerTelemetry.instrument("order.placed") { pid = fork }
      if pid.nil?
        TaskerTelemetry.instrument("order.shipped") { record("inside") }
        leave
      end
      wait(pid)
    RUBY
    expect([status, process.run("TaskerTelemetry.flush(timeout: 30)")]).to eq([0, true])
    expect(collector.received_spans.map(&:name)).to contain_exactly("order.placed", "order.shipped", "inside")
    expect([counted("order_placed_total"), counted("order_shipped_total")]).to eq([1, 1])
    expect(process.output.scan("order.placed").size).to eq(1)
  end

  it "are around what a child does, also when settings change in it" do
    status = process.run(<<~RUBY)
      pid = nil
      TaskerTelemetry.instrument("order.placed") do
        pid = fork
        unless pid
          TaskerTelemetry.configure { |config| config.traces.queue_size = 99 }
          record("inside")
        end
      end
      leave unless pid
      wait(pid)
    RUBY
    expect([status, process.run("TaskerTelemetry.flush(timeout: 30)")]).to eq([0, true])
    inside, placed = collector.received_spans.sort_by(&:name)
    expect([inside.parent_id, inside.trace_id]).to eq([placed.span_id, placed.trace_id])
    expect(counted("order_placed_total")).to eq(1)
  end

  it "go on in the daemon that the process has become, whatever its settings" do
    process.run(<<~RUBY)
      TaskerTelemetry.instrument("order.placed") do
        Process.daemon(true, true)
        TaskerTelemetry.configure { |config| config.traces.queue_size = 99 }
      end
    RUBY
    expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
    expect(collector.received_spans.map(&:name)).to eq(["order.placed"])
    expect(counted("order_placed_total")).to eq(1)
    # A daemon is in no group that could be killed.
    process.finish
  end
end
