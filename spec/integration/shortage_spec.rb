# frozen_string_literal: true

# A process that has run out of something when the background needs it, and gets it back.
RSpec.describe "A shortage", :sending_process do
  before { process.run(<<~'RUBY') }
    TaskerTelemetry.counter(:orders_total, "Orders placed").increment
    def exhaust_descriptors
      $soft, hard = Process.getrlimit(:NOFILE)
      Process.setrlimit(:NOFILE, Dir.children("/proc/self/fd").map(&:to_i).max + 1, hard)
      $held = []
      loop { $held << File.open(File::NULL) }
    rescue Errno::EMFILE
      nil
    end
    def return_descriptors
      $held.each(&:close)
      Process.setrlimit(:NOFILE, $soft, Process.getrlimit(:NOFILE).last)
    end
    # Room for what Ruby does, and for no stack of another thread.
    def exhaust_memory
      GC.disable
      $soft, hard = Process.getrlimit(:AS)
      Process.setrlimit(:AS, (File.read("/proc/self/status")[/^VmSize:\s*(\d+)/, 1].to_i * 1024) + (3 << 19), hard)
      nil
    end
    def return_memory
      Process.setrlimit(:AS, $soft, Process.getrlimit(:AS).last)
    end
    nil
  RUBY

  it "of descriptors ends without another span" do
    process.run("exhaust_descriptors")
    # More than one batch: both moments at which a span wakes the background come while there are none.
    process.run("record(Array.new(700) { |number| number.to_s })")
    expect(process.run("TaskerTelemetry.flush(timeout: 0.2)")).to be(false)
    process.run("return_descriptors")
    eventually(within: 30) { collector.spans.size == 700 }
    expect(collector.received_spans.size).to eq(700)
    expect(process.spans_counted).to eq("exported" => 700)
  end

  it "of memory for a thread ends with a span, and while a flush waits" do
    process.run("exhaust_memory")
    process.run("record('first')")
    expect(process.run("background")).to be_empty
    process.run("return_memory")
    expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
    expect(collector.received_spans.map(&:name)).to eq(["first"])
  end

  it "of descriptors does not keep the process from ending or forking" do
    process.run("exhaust_descriptors; record('first')")
    process.run("return_descriptors")
    child = process.run("fork { record('second') }")
    process.run("Process.wait(#{child}); nil")
    expect(process.finish.status).to be_success
    expect(collector.received_spans.map(&:name)).to contain_exactly("first", "second")
  end

  it "of descriptors ends for the metrics as well" do
    process.run(<<~RUBY)
      exhaust_descriptors
      TaskerTelemetry.configure do |config|
        config.traces.enabled = false
        config.metrics.otlp.enabled = true
        config.metrics.otlp.interval = 0.3
      end
    RUBY
    process.run("return_descriptors")
    eventually(within: 30) { collector.metrics.any? { |metric| metric.name == "orders_total" } }
  end
end
