# frozen_string_literal: true

# These need an extension that was built with the feature `failpoints`, as a checkout's is.
RSpec.describe "A panic in native code" do
  before do
    TaskerTelemetry.configure { |config| config.logger = Logger.new(nil) }
    TaskerTelemetry.reset!
    TaskerTelemetry::Native.take_notices
  end

  after do
    TaskerTelemetry::Native.take_notices
    TaskerTelemetry.configure { |config| config.logger = nil }
  end

  let(:counter) { TaskerTelemetry.counter(:bridge_panics_total, "Panics") }
  let(:native) { TaskerTelemetry::Native }

  it "in a recording call is nil to the caller, counted and logged" do
    expect(counter.panic!).to be_nil
    expect(native.take_notices).to match([[:error, /\Apanicked at .*\.rs:\d+:\d+:\ninjected into/]])
    expect(dropped(:panic)).to eq(1)
    counter.increment
    expect(counter.value).to eq(1)
  end

  it "in a call that answers something is an error that can be rescued" do
    expect { native.panic! }.to raise_error(TaskerTelemetry::NativeError, /panicked/)
    expect(native.take_notices).to match([[:error, /\ninjected; the call was abandoned\z/]])
    expect(dropped(:panic)).to eq(1)
  end

  it "without the GVL comes back with it" do
    expect { native.panic_without_gvl! }.to raise_error(TaskerTelemetry::NativeError, /panicked/)
    expect(dropped(:panic)).to eq(1)
    expect(Thread.new { counter.increment && nil }.value).to be_nil
  end

  it "in an ensure block leaves the exception that is passing through" do
    expect do
      raise IOError, "passing"
    ensure
      counter.panic!
    end.to raise_error(IOError, "passing")
  end

  it "is survived as often as it comes, and keeps no more messages than can be read" do
    100.times { counter.panic! }

    expect(native.take_notices.size).to be_between(1, 16)
    expect(native.take_notices).to be_empty
    expect(dropped(:panic)).to eq(100)
  end

  it "in a trap handler or a thread ends neither" do
    counter = self.counter
    handled = false
    before = trap("USR1") do
      counter.panic!
      handled = true
    end
    Process.kill(:USR1, Process.pid)
    eventually { handled }
    expect(Thread.new { counter.panic! || :alive }.value).to eq(:alive)
    expect(dropped(:panic)).to eq(2)
  ensure
    trap("USR1", before)
  end

  it "says nothing on standard error, where it would stand among the application's words" do
    outcome = run_ruby(<<~RUBY)
      require "tasker_telemetry"
      TaskerTelemetry.counter(:quiet_total).panic!
      puts TaskerTelemetry::Native.take_notices.size
    RUBY

    expect(outcome).to have_attributes(out: "1\n", err: "")
  end
end
