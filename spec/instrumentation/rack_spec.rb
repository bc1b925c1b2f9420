# frozen_string_literal: true

require "rack/builder"
require "rack/lint"
require "rack/mock"

RSpec.describe "The time that a request waited in front of the application" do
  before { TaskerTelemetry.reset! }

  let(:stack) do
    Rack::Lint.new(Rack::Builder.new do
      use TaskerTelemetry::Middleware
      run ->(_env) { [200, { "content-type" => "text/plain" }, ["here"]] }
    end.to_app)
  end

  def waited(headers)
    Rack::MockRequest.new(stack).get("/", headers)
    TaskerTelemetry.snapshot.to_h.fetch("http_request_queue_duration_seconds", {}).values.first
  end

  def ago(seconds)
    Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond) - (seconds * 1_000_000_000)
  end

  {
    "seconds, as nginx notes them" => ->(time) { format("t=%.3f", time / 1e9) },
    "seconds without a mark" => ->(time) { format("%.3f", time / 1e9) },
    "milliseconds, as Heroku's router notes them" => ->(time) { (time / 1_000_000).to_s },
    "milliseconds with a mark" => ->(time) { "t=#{time / 1_000_000}" },
    "microseconds, as Apache notes them" => ->(time) { "t=#{time / 1000}" },
    "nanoseconds" => ->(time) { time.to_s },
    "what the first of two proxies noted" => ->(time) { "t=#{time / 1000}, t=#{(time / 1000) + 19_000_000}" }
  }.each do |form, note|
    it "is told from #{form}" do
      expect(waited("HTTP_X_REQUEST_START" => note.call(ago(20)))).to include(count: 1, sum: be_between(19.9, 50))
    end
  end

  it "is told by X-Queue-Start as well, and once where there are both" do
    expect(waited("HTTP_X_QUEUE_START" => (ago(20) / 1000).to_s)).to include(count: 1)
    both = { "HTTP_X_QUEUE_START" => (ago(5) / 1000).to_s, "HTTP_X_REQUEST_START" => (ago(100) / 1000).to_s }
    expect(waited(both)).to include(count: 2, sum: be > 119)
  end

  it "is nothing where nothing sensible was noted" do
    ["", "t=", "now", "t=now", "-1", "0", "t=17", "1e9", "1700000000", "t=#{"9" * 400}", "#{Time.now.to_i}x",
     "\xff\xfe".b, ago(-10).to_s, (ago(3700) / 1000).to_s, "2026-01-01T00:00:00Z"].each do |noted|
      expect(waited("HTTP_X_REQUEST_START" => noted)).to be_nil, noted.inspect
    end
    expect(TaskerTelemetry.snapshot.to_h.fetch("http_requests_total").values).to eq([15])
  end

  it "takes a request no object more than before, where no proxy notes anything" do
    observer = TaskerTelemetry::Instrumentation::QueueTime.new
    env = { "REQUEST_METHOD" => "GET" }
    10.times { observer.observe(env) }
    before = GC.stat(:total_allocated_objects)
    100.times { observer.observe(env) }
    expect(GC.stat(:total_allocated_objects) - before).to be < 10
  end
end
