# frozen_string_literal: true

require "rack/builder"
require "rack/files"
require "rack/lint"
require "rack/mock"
require "stringio"
require "tmpdir"

RSpec.describe TaskerTelemetry::Middleware do
  before { TaskerTelemetry.reset! }

  def app(&answer)
    described_class.new(answer)
  end

  # {labels => total}, of what was counted.
  def totals
    TaskerTelemetry.snapshot.to_h.fetch("http_requests_total", {})
  end

  def labels(status, method: "GET", controller: "", action: "")
    { controller: controller, action: action, method: method, status: status }
  end

  def request(app, method = "GET", **env)
    Rack::MockRequest.new(Rack::Lint.new(app)).request(method, "/", env)
  end

  it "has counted an answer when it hands it on" do
    seen = nil
    outer = lambda do |env|
      app { [200, {}, []] }.call(env).tap { seen = totals }
    end
    outer.call(Rack::MockRequest.env_for("/"))
    expect(seen).to eq(labels("2xx") => 1)
  end

  { 100 => "1xx", 200 => "2xx", 204 => "2xx", 304 => "3xx", 404 => "4xx", 503 => "5xx", "200" => "2xx", 599 => "5xx",
    -1 => "", 0 => "", 600 => "", nil => "" }.each do |status, counted|
    it "counts status #{status.inspect} as #{counted.inspect}" do
      app { [status, {}, []] }.call("REQUEST_METHOD" => "GET")
      expect(totals).to eq(labels(counted) => 1)
    end
  end

  it "counts what an application answers by raising, and raises on" do
    expect { app { raise "on purpose" }.call("REQUEST_METHOD" => "GET") }.to raise_error("on purpose")
    expect { app { raise NoMemoryError }.call("REQUEST_METHOD" => "GET") }.to raise_error(NoMemoryError)
    expect(totals).to eq(labels("5xx") => 2)
  end

  it "counts what an application answers by throwing, and lets it fly" do
    expect(catch(:async) { app { throw :async, "caught" }.call("REQUEST_METHOD" => "GET") }).to eq("caught")
    expect(totals).to eq(labels("") => 1)
  end

  %w[GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT].each do |method|
    it "counts #{method} as such" do
      app { [200, {}, []] }.call("REQUEST_METHOD" => method)
      expect(totals).to eq(labels("2xx", method: method) => 1)
    end
  end

  ["PROPFIND", "get", "X" * 100, nil].each do |method|
    it "counts #{method.inspect[0, 10]} as OTHER: a client's own words are no label" do
      app { [200, {}, []] }.call("REQUEST_METHOD" => method)
      expect(totals).to eq(labels("2xx", method: "OTHER") => 1)
    end
  end

  it "counts the method that came over the wire" do
    rewriting = app do |env|
      env["REQUEST_METHOD"] = "DELETE"
      [200, {}, []]
    end
    rewriting.call("REQUEST_METHOD" => "POST")
    expect(totals).to eq(labels("2xx", method: "POST") => 1)
  end

  it "observes the duration with the same labels" do
    started = TaskerTelemetry::Clock.now
    request(app { [200, { "content-type" => "text/plain" }, ["here"]] })
    outer = TaskerTelemetry::Clock.now - started
    durations = TaskerTelemetry.snapshot.to_h.fetch("http_request_duration_seconds")
    expect(durations.keys).to eq([labels("2xx")])
    expect(durations.values.first).to include(count: 1, sum: be_between(0, outer))
  end

  it "hands on what the application answers, untouched" do
    answer = [200, { "content-type" => "text/plain" }, ["here"]]
    expect(app { answer }.call("REQUEST_METHOD" => "GET")).to equal(answer)
  end

  it "counts once for each request of many threads" do
    counted = app { [200, {}, []] }
    Array.new(8) { Thread.new { 500.times { counted.call("REQUEST_METHOD" => "GET") } } }.each(&:join)
    expect(totals).to eq(labels("2xx") => 4000)
  end

  it "counts files that Rack serves, found or not" do
    Dir.mktmpdir do |directory|
      File.write("#{directory}/robots.txt", "*")
      files = described_class.new(Rack::Files.new(directory))
      mock = Rack::MockRequest.new(files)
      expect([mock.get("/robots.txt").status, mock.get("/none").status]).to eq([200, 404])
    end
    expect(totals).to eq(labels("2xx") => 1, labels("4xx") => 1)
  end

  it "counts once where it stands twice in the stack, and every time it is asked" do
    twice = described_class.new(app { [200, {}, []] })
    env = { "REQUEST_METHOD" => "GET" }
    3.times { twice.call(env) }
    expect(totals).to eq(labels("2xx") => 3)
    expect(env.keys).to eq(["REQUEST_METHOD"])
  end

  it "counts a request whose env is frozen" do
    seen = nil
    counted = app { |env| (seen = env) && [200, {}, []] }
    counted.call({ "REQUEST_METHOD" => "GET" }.freeze)
    expect([totals, seen["REQUEST_METHOD"]]).to eq([{ labels("2xx") => 1 }, "GET"])
  end

  it "counts the scrapes of the endpoint like any request" do
    stack = Rack::Builder.new do
      use TaskerTelemetry::Middleware
      run TaskerTelemetry::Endpoint
    end
    mock = Rack::MockRequest.new(stack.to_app)
    mock.get("/metrics")
    expect(mock.get("/metrics").body).to match(/^http_requests_total\{.*status="2xx"\} 1$/)
  end

  [RuntimeError, Class.new(StandardError) { def message = raise(ScriptError) }].each do |error|
    it "lets no failure of its own reach the client, #{error.name || "also one whose message raises"}" do
      log = StringIO.new
      configure { |config| config.logger = Logger.new(log) }
      TaskerTelemetry::Log.reset
      broken = Object.new
      broken.define_singleton_method(:action_name) { raise error, "not today" }
      answer = app do |env|
        env["action_controller.instance"] = broken
        [200, {}, []]
      end
      expect(answer.call("REQUEST_METHOD" => "GET")).to eq([200, {}, []])
      expect(log.string).to include("a request could not be counted: #{error}")
    end
  end

  it "goes on counting when it has no more room to remember label sets" do
    configure { |config| config.metrics.max_series = 2 }
    status = nil
    counted = app { [status, {}, []] }
    [200, 300, 400, 500].each do |each|
      status = each
      2.times { counted.call("REQUEST_METHOD" => "GET") }
    end
    expect(totals.values.sum).to eq(8)
  end

  it "allocates little for a request whose labels it has seen" do
    answer = [200, {}, []].freeze
    counted = app { answer }
    env = { "REQUEST_METHOD" => "GET" }
    10.times { counted.call(env) }
    before = GC.stat(:total_allocated_objects)
    100.times { counted.call(env) }
    # The two clock readings' difference and the pair of empty labels.
    expect((GC.stat(:total_allocated_objects) - before) / 100).to be <= 4
  end
end
