# frozen_string_literal: true

require "json"
require "rack/conditional_get"
require "rack/etag"
require "rack/lint"
require "rack/mock"
require "stringio"
require "zlib"

RSpec.describe TaskerTelemetry::Endpoint do
  let(:counter) { TaskerTelemetry.counter(:endpoint_spec_total, "Samples of this specification", labels: %i[word]) }
  let(:log) { StringIO.new }

  before do
    configure { |config| config.logger = Logger.new(log) }
    TaskerTelemetry.reset!
    counter.increment(word: "found")
  end

  # Rack::Lint objects to what breaks Rack's rules, those on header names and bodies included.
  def get(headers = {})
    Rack::MockRequest.new(Rack::Lint.new(described_class)).request("GET", "/metrics", headers)
  end

  def request(method)
    Rack::MockRequest.new(Rack::Lint.new(described_class)).request(method, "/metrics")
  end

  describe "what it answers" do
    it "is Prometheus text, unless asked otherwise" do
      response = get
      expect(response.status).to eq(200)
      expect(response["content-type"]).to eq("text/plain; version=0.0.4; charset=utf-8")
      expect(response.body).to include(%(endpoint_spec_total{word="found"} 1\n))
    end

    it "is OpenMetrics for a client that prefers it" do
      response = get("HTTP_ACCEPT" => "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1")
      expect(response["content-type"]).to start_with("application/openmetrics-text; version=1.0.0")
      expect(response.body).to end_with("# EOF\n")
    end

    it "is JSON for a client that asks for it" do
      response = get("HTTP_ACCEPT" => "application/json")
      expect(response["content-type"]).to start_with("application/json")
      expect(JSON.parse(response.body)).not_to be_empty
    end

    it "is broken off for a client that takes too long to read it" do
      40.times { |number| counter.increment(word: "#{number} #{"x" * 10_000}") }
      stub_const("#{described_class}::Body::LONGEST_SECONDS", -1)
      _, _, body = described_class.call({ "REQUEST_METHOD" => "GET" })
      sent = []
      expect { body.each { |chunk| sent << chunk } }
        .to raise_error(TaskerTelemetry::Error, /took more than -1 s to read the page/)
      expect(sent.size).to eq(1)
    end

    ["\xff", "application/json;q=\xff", "*/*, \xff", "text/\xff;version=\xff"].each do |header|
      it "is a page for a client whose headers are #{header.inspect}, which is no text" do
        env = { "REQUEST_METHOD" => "GET", "HTTP_ACCEPT" => header, "HTTP_ACCEPT_ENCODING" => header }
        status, _, body = described_class.call(env)
        body.close
        expect(status).to eq(200)
      end
    end

    it "is the page of this moment, whatever the client has had, and is not collected to be digested" do
      stack = Rack::ConditionalGet.new(Rack::ETag.new(described_class))
      earlier = Rack::MockResponse.new(*stack.call(Rack::MockRequest.env_for("/metrics")))
      [{ "HTTP_IF_MODIFIED_SINCE" => (Time.now + 86_400).httpdate }, { "HTTP_IF_NONE_MATCH" => earlier["etag"].to_s },
       { "HTTP_IF_NONE_MATCH" => "*", "HTTP_IF_MODIFIED_SINCE" => Time.now.httpdate }].each do |conditions|
        counter.increment(word: "found")
        status, _, body = stack.call(Rack::MockRequest.env_for("/metrics", conditions))
        expect([status, body]).to match([200, be_a(described_class::Body)])
        body.close
      end
    end

    it "keeps the credentials out of every object that an error may show" do
      configure { |config| config.endpoint.token = "hunter2" }
      shown = []
      receivers = TracePoint.new(:call) do |call|
        shown << call.self.inspect if call.self.class.name.to_s.start_with?(described_class.name)
      end
      receivers.enable { get("HTTP_AUTHORIZATION" => "Bearer hunter2") }
      expect(shown.join).to include(described_class.name).and include("[FILTERED]")
      expect(shown.join).not_to include("hunter2")
    end

    it "is for no cache, and says what it depends on" do
      expect(get.headers).to include("cache-control" => "no-store", "vary" => "accept, accept-encoding")
    end

    it "is compressed for a client that takes gzip, and holds the same" do
      response = get("HTTP_ACCEPT_ENCODING" => "deflate, gzip;q=0.5")
      expect(response["content-encoding"]).to eq("gzip")
      expect(Zlib.gunzip(response.body)).to include(%(endpoint_spec_total{word="found"} 1\n))
      expect(get("HTTP_ACCEPT_ENCODING" => "gzip;q=0")["content-encoding"]).to be_nil
    end

    it "has no body for HEAD, and the same headers otherwise" do
      head = request("HEAD")
      expect([head.status, head.body, head["content-type"]]).to eq([200, "", get["content-type"]])
    end

    %w[POST PUT DELETE PATCH OPTIONS].each do |method|
      it "is 405 for #{method}, with what is allowed" do
        expect(request(method)).to have_attributes(status: 405, headers: include("allow" => "GET, HEAD"))
      end
    end

    it "counts how long rendering took" do
      get
      expect(get.body[/^tasker_telemetry_scrape_duration_seconds_count (\d+)$/, 1].to_i).to be_positive
    end
  end

  describe "a page of many series" do
    before { 20_000.times { |number| counter.increment(word: number) } }

    it "goes out in pieces" do
      configure { |config| config.metrics.max_series = 30_000 }
      20_000.times { |number| counter.increment(word: number) }
      _, _, body = described_class.call("REQUEST_METHOD" => "GET")
      pieces = body.to_enum(:each).to_a
      body.close
      expect(pieces.size).to be > 1
      expect(pieces.join.scan(/^endpoint_spec_total\{/).size).to be > 20_000
    end

    it "may be left half read" do
      _, _, body = described_class.call("REQUEST_METHOD" => "GET", "HTTP_ACCEPT_ENCODING" => "gzip")
      body.to_enum(:each).first
      expect { 2.times { body.close } }.not_to raise_error
    end
  end

  describe "when the page cannot be rendered" do
    it "is 503 with the reason in the log" do
      allow(TaskerTelemetry::Native).to receive(:page).and_raise(TaskerTelemetry::NativeError, "out of order")
      expect(get).to have_attributes(status: 503, body: /could not be rendered/)
      expect(log.string).to include("out of order")
    end

    it "is 503 when metrics are switched off" do
      configure { |config| config.metrics.enabled = false }
      expect(get).to have_attributes(status: 503, body: /config.metrics.enabled/)
    end
  end

  describe "token protection" do
    before { configure { |config| config.endpoint.token = "hunter2" } }

    it "lets in who has the token, whatever the case of the scheme" do
      expect(get("HTTP_AUTHORIZATION" => "Bearer hunter2").status).to eq(200)
      expect(get("HTTP_AUTHORIZATION" => "bearer hunter2").status).to eq(200)
    end

    [nil, "", "Bearer", "Bearer hunter", "Bearer hunter22", "Bearer \xFF", "hunter2",
     "Basic aHVudGVyMg=="].each do |given|
      it "is 401 for #{given.inspect}" do
        response = get({ "HTTP_AUTHORIZATION" => given&.b }.compact)
        expect(response.status).to eq(401)
        expect(response["www-authenticate"]).to eq('Bearer realm="tasker_telemetry"')
        expect(response.body).to match(/credentials/)
        expect(response.body).not_to include("hunter2")
      end
    end
  end

  describe "basic protection" do
    before do
      configure do |config|
        config.endpoint.username = "prometheus"
        config.endpoint.password = "sword:fish"
      end
    end

    def basic(pair)
      { "HTTP_AUTHORIZATION" => "Basic #{[pair].pack("m0")}" }
    end

    it "lets in who knows both, colons included" do
      expect(get(basic("prometheus:sword:fish")).status).to eq(200)
    end

    ["prometheus:sword", "prometheus", ":", "somebody:sword:fish", ""].each do |pair|
      it "is 401 for #{pair.inspect}" do
        response = get(basic(pair))
        expect(response.status).to eq(401)
        expect(response["www-authenticate"]).to eq('Basic realm="tasker_telemetry", charset="UTF-8"')
      end
    end

    it "is as good as a token where both are set" do
      configure { |config| config.endpoint.token = "hunter2" }
      expect(get(basic("prometheus:sword:fish")).status).to eq(200)
      expect(get("HTTP_AUTHORIZATION" => "Bearer hunter2").status).to eq(200)
      expect(get["www-authenticate"]).to include("Bearer").and include("Basic")
    end
  end

  describe "protection by network" do
    before { configure { |config| config.endpoint.allow = ["10.0.0.0/8", "::1"] } }

    ["10.1.2.3", "::ffff:10.1.2.3", "::1"].each do |address|
      it "lets in #{address}" do
        expect(get("REMOTE_ADDR" => address).status).to eq(200)
      end
    end

    ["11.1.2.3", "::2", "", "unix", "::ffff:11.1.2.3", "\xff".b].each do |address|
      it "is 403 for #{address.inspect}" do
        expect(get("REMOTE_ADDR" => address)).to have_attributes(status: 403, body: /config.endpoint.allow/)
      end
    end

    it "does not believe a forwarded address" do
      expect(get("REMOTE_ADDR" => "11.1.2.3", "HTTP_X_FORWARDED_FOR" => "10.1.2.3").status).to eq(403)
    end

    it "asks for the token beside it" do
      configure { |config| config.endpoint.token = "hunter2" }
      expect(get("REMOTE_ADDR" => "10.1.2.3").status).to eq(401)
      expect(get("REMOTE_ADDR" => "11.1.2.3", "HTTP_AUTHORIZATION" => "Bearer hunter2").status).to eq(403)
    end
  end

  describe "protection by the application" do
    it "asks it with the Rack env" do
      configure { |config| config.endpoint.authorize = ->(env) { env["HTTP_X_ROLE"] == "monitor" } }
      expect(get("HTTP_X_ROLE" => "monitor").status).to eq(200)
      expect(get).to have_attributes(status: 403, body: /authorize/)
    end

    [RuntimeError, NotImplementedError, SecurityError].each do |error|
      it "is 503 when the application raises #{error}, whose class alone is in the log" do
        configure { |config| config.endpoint.authorize = ->(env) { raise error, env["HTTP_AUTHORIZATION"] } }
        expect(get("HTTP_AUTHORIZATION" => "Bearer hunter2")).to have_attributes(status: 503, body: /the log has/)
        expect(log.string).to include("config.endpoint.authorize raised #{error}\n")
        expect(log.string).not_to include("hunter2")
      end
    end
  end

  describe "without protection" do
    def served(environment, settings = "")
      run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" })
        require "tasker_telemetry"
        TaskerTelemetry.configure do |config|
          config.environment = "#{environment}"
          #{settings}
        end
        3.times { TaskerTelemetry::Endpoint.call("REQUEST_METHOD" => "GET") }
      RUBY
    end

    it "warns once in production" do
      expect(served("production").err.scan("the metrics endpoint is open").size).to eq(1)
    end

    it "says nothing elsewhere, or when it is protected" do
      expect(served("development").err).to eq("")
      expect(served("production", 'config.endpoint.token = "hunter2"').err).to eq("")
    end
  end
end
