# frozen_string_literal: true

# How spans go to a collector: what OpenTelemetry's variables and the configuration say of it, over real connections.
RSpec.describe "OTLP" do
  def traced(endpoint, env = {}, &)
    TracedProcess.open(endpoint, env: env, &)
  end

  def flushed(process)
    process.run("record 'a'; TaskerTelemetry.flush(timeout: 30)")
  end

  describe "over HTTP" do
    around { |example| FaultyCollector.open { |collector| (@collector = collector) && example.run } }

    attr_reader :collector

    def request
      collector.requests.fetch(0)
    end

    it "is protobuf, to the path of traces below the endpoint, without compression" do
      traced("#{collector.endpoint}/collect/") { |process| expect(flushed(process)).to be(true) }
      expect(request).to have_attributes(path: "/collect/v1/traces", packed?: false)
      expect(request.headers).to include("content-type" => "application/x-protobuf",
                                         "user-agent" => "tasker_telemetry/#{TaskerTelemetry::VERSION}")
      expect(collector.spans.map(&:name)).to eq(["a"])
    end

    it "goes where the variables of traces say, rather than where the common ones do" do
      env = { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => "#{collector.endpoint}/exactly/here/traces",
              "OTEL_EXPORTER_OTLP_HEADERS" => "api-key=common,other=dropped",
              "OTEL_EXPORTER_OTLP_TRACES_HEADERS" => "api-key=of%20traces, tenant = 7",
              "OTEL_EXPORTER_OTLP_PROTOCOL" => "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" => "http/protobuf",
              "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION" => "gzip" }
      traced("http://127.0.0.1:1", env) { |process| expect(flushed(process)).to be(true) }
      expect(request).to have_attributes(path: "/exactly/here/traces", packed?: true)
      expect(request.headers).to include("api-key" => "of traces", "tenant" => "7", "content-encoding" => "gzip")
      expect(request.headers).not_to include("other")
      expect(collector.spans.map(&:name)).to eq(["a"])
    end

    it "goes where the configuration says, whatever the variables do" do
      env = { "OTEL_EXPORTER_OTLP_HEADERS" => "api-key=theirs", "OTEL_EXPORTER_OTLP_COMPRESSION" => "gzip" }
      traced("http://127.0.0.1:1", env) do |process|
        process.run(<<~RUBY)
          TaskerTelemetry.configure do |config|
            config.traces.endpoint = "#{collector.endpoint.sub("//", "//user:hunter2-hunter2@")}"
            config.traces.headers = { "api-key" => "ours" }
          end
        RUBY
        expect(flushed(process)).to be(true)
        expect(process.run("TaskerTelemetry.status[:traces][:endpoint]")).to eq("#{collector.endpoint}/v1/traces")
      end
      expect(request).to have_attributes(packed?: true)
      expect(request.headers).to include("api-key" => "ours",
                                         "authorization" => "Basic #{["user:hunter2-hunter2"].pack("m0")}")
    end

    it "says what process it was in the resource, and what the variables say of it" do
      env = { "OTEL_RESOURCE_ATTRIBUTES" => "team=a%20b,service.version=7" }
      pid = traced(collector.endpoint, env) { |process| flushed(process) && process.pid }
      expect(collector.spans.first.resource).to include(
        "service.name" => "shop", "service.version" => "7", "deployment.environment.name" => "test", "team" => "a b",
        "process.pid" => pid, "process.runtime.name" => "ruby", "process.runtime.version" => RUBY_VERSION,
        "telemetry.sdk.name" => "tasker_telemetry"
      )
    end

    it "sends batches of the size that is asked for" do
      env = { "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => "10", "OTEL_BSP_SCHEDULE_DELAY" => "3600000" }
      traced(collector.endpoint, env) do |process|
        process.run("record Array.new(25) { 'a' }")
        eventually { collector.requests.size == 2 }
        expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
      end
      expect(collector.requests.map { |each| each.spans.size }).to eq([10, 10, 5])
    end

    it "is off where OTEL_SDK_DISABLED says so" do
      traced(collector.endpoint, "OTEL_SDK_DISABLED" => "true") do |process|
        expect(flushed(process)).to be(true)
        expect(process.run("[background, TaskerTelemetry.status[:traces][:state]]")).to eq([[], "disabled"])
      end
      expect(collector.requests).to eq([])
    end

    it "tells nobody the secrets of a request that failed" do
      env = { "OTEL_EXPORTER_OTLP_HEADERS" => "authorization=Bearer%20hunter2-hunter2" }
      endpoint = "#{collector.endpoint.sub("//", "//user:hunter2-hunter2@")}/?api_key=hunter2-hunter2"
      words = %i[refuse cut cut_answer hang].map { |fault| [fault, {}] } + [[:status, { code: 401 }]]
      traced(endpoint, env.merge("OTEL_EXPORTER_OTLP_TIMEOUT" => "300")) do |process|
        said = words.map do |fault, settings|
          collector.public_send(fault, **settings)
          expect(process.run("record 'a'; TaskerTelemetry.flush(timeout: 0.5)")).to be(false)
          eventually { process.run("TaskerTelemetry.status[:traces][:last_error]") }
          process.run("[TaskerTelemetry.status.inspect, TaskerTelemetry.config.inspect]")
        end
        expect(said.flatten.join).not_to include("hunter2")
        expect(process.output).not_to include("hunter2")
        expect(process.run("TaskerTelemetry.export(:json)")).not_to include("hunter2")
      end
      expect(collector.requests.map(&:path)).to all(eq("/v1/traces?api_key=hunter2-hunter2"))
    end

    it "refuses variables that make no sense when it is configured, and shows no secret of theirs" do
      { "OTEL_EXPORTER_OTLP_ENDPOINT" => "ftp://user:hunter2@example.com",
        "OTEL_EXPORTER_OTLP_HEADERS" => "Authorization: Basic hunter2==", "OTEL_EXPORTER_OTLP_PROTOCOL" => "http/json",
        "OTEL_EXPORTER_OTLP_COMPRESSION" => "brotli", "OTEL_EXPORTER_OTLP_TIMEOUT" => "soon" }.each do |name, value|
        outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test", name => value })
          require "tasker_telemetry"
          begin
            TaskerTelemetry.configure { |config| config.traces.enabled = true }
          rescue TaskerTelemetry::ConfigurationError => e
            puts e.message
          end
        RUBY
        expect(outcome.out).to match(/\A#{name} .*accepted: /), outcome.to_s
        expect("#{outcome.out}#{outcome.err}").not_to include("hunter2")
      end
    end
  end

  describe "where it is off" do
    wrong = { "OTEL_EXPORTER_OTLP_PROTOCOL" => "http/json", "OTEL_EXPORTER_OTLP_ENDPOINT" => "collector",
              "OTEL_EXPORTER_OTLP_HEADERS" => "none", "OTEL_TRACES_SAMPLER" => "xray",
              "OTEL_METRIC_EXPORT_INTERVAL" => "soon", "OTEL_RESOURCE_ATTRIBUTES" => "nothing" }
    # Where no authority is known.
    trusting_nobody = { "SSL_CERT_FILE" => "/nowhere", "SSL_CERT_DIR" => "/nowhere" }

    def configured(code, env)
      run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" }.merge(env))
        require "tasker_telemetry"
        begin
          TaskerTelemetry.configure { |config| #{code} }
          puts "as if they were not there"
        rescue TaskerTelemetry::ConfigurationError => e
          puts e.message
        end
        TaskerTelemetry.counter(:orders_total).increment
        puts TaskerTelemetry.export(:prometheus).lines.grep(/orders_total 1/)
      RUBY
    end

    both = "config.traces.enabled = config.metrics.otlp.enabled = true"

    it "is not held up by variables that are meant for others" do
      { "config.logger = nil" => wrong, both => wrong.merge("OTEL_SDK_DISABLED" => "true") }.each do |code, env|
        expect(configured(code, env).out).to eq("as if they were not there\norders_total 1\n")
      end
      # Whichever is on is told what is wrong with what is its own.
      { "config.metrics.otlp.enabled = true" => "OTEL_METRIC_EXPORT_INTERVAL", "config.traces.enabled = true" =>
        "OTEL_TRACES_SAMPLER" }.each do |code, name|
        expect(configured(code, wrong.slice(name)).out).to start_with("#{name} cannot be")
        others = %w[OTEL_METRIC_EXPORT_INTERVAL OTEL_TRACES_SAMPLER] - [name]
        expect(configured(code, wrong.slice(*others)).out).to start_with("as if they were not there")
        expect(configured(code, wrong.slice("OTEL_RESOURCE_ATTRIBUTES")).out).to start_with("OTEL_RESOURCE_ATTRIBUTES")
      end
    end

    it "is not held up by certificates that it does not need, and changes nothing where it needs them" do
      env = trusting_nobody.merge("OTEL_EXPORTER_OTLP_ENDPOINT" => "https://collector:4318")
      expect(configured("config.metrics.prefix = 'shop'", env).out)
        .to eq("as if they were not there\nshop_orders_total 1\n")
      ["config.traces.enabled = true", "config.metrics.otlp.enabled = true"].each do |code|
        expect(configured("#{code}; config.metrics.prefix = 'shop'", env).out)
          .to match(/\Athe system's certificates: .*\norders_total 1\n\z/)
      end
    end

    it "is told all the same what is wrong with the options" do
      out = configured("config.traces.enabled = true; config.traces.queue_size = 2**31",
                       { "OTEL_SDK_DISABLED" => "true" }).out
      expect(out).to start_with("config.traces.queue_size cannot be")
    end
  end

  describe "over TLS" do
    around { |example| FaultyCollector.open(tls: true) { |collector| (@collector = collector) && example.run } }

    attr_reader :collector

    it "trusts the authority of a file, and sends nothing where it trusts nobody" do
      traced(collector.endpoint, "OTEL_EXPORTER_OTLP_CERTIFICATE" => collector.ca_file) do |process|
        expect(flushed(process)).to be(true)
      end
      expect(collector.spans.map(&:name)).to eq(["a"])
      traced(collector.endpoint) do |process|
        expect(process.run("record 'b'; TaskerTelemetry.flush(timeout: 1)")).to be(false)
        expect(process.run("TaskerTelemetry.status[:traces][:last_error]")).to match(/certificate/i)
      end
      expect(collector.requests.size).to eq(1)
    end

    it "goes on after a fork and after the collector was away" do
      traced(collector.endpoint, "OTEL_EXPORTER_OTLP_CERTIFICATE" => collector.ca_file) do |process|
        expect(flushed(process)).to be(true)
        expect(process.run("Process.wait2(fork { record 'child' }).last.exitstatus")).to eq(0)
        collector.kill
        process.run("record 'b'")
        eventually { process.run("TaskerTelemetry.status[:traces][:last_error]") }
        collector.start
        eventually(within: 30) { collector.spans.size == 3 }
      end
      expect(collector.spans.map(&:name)).to match_array(%w[a b child])
    end

    it "refuses a file that is none" do
      outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test", "OTEL_EXPORTER_OTLP_ENDPOINT" => collector.endpoint })
        ENV["OTEL_EXPORTER_OTLP_CERTIFICATE"] = "/nowhere.pem"
        require "tasker_telemetry"
        begin
          TaskerTelemetry.configure { |config| config.traces.enabled = true }
        rescue TaskerTelemetry::ConfigurationError => e
          puts e.message
        end
      RUBY
      expect(outcome.out).to include("/nowhere.pem"), outcome.to_s
    end
  end

  describe "over gRPC, to a real collector" do
    around { |example| Collector.open { |collector| (@collector = collector) && example.run } }

    attr_reader :collector

    def over_grpc(env = {}, &)
      traced(collector.grpc_endpoint, { "OTEL_EXPORTER_OTLP_PROTOCOL" => "grpc" }.merge(env), &)
    end

    { "plain" => {}, "compressed" => { "OTEL_EXPORTER_OTLP_COMPRESSION" => "gzip" } }.each do |how, env|
      it "arrives, #{how}" do
        over_grpc(env) do |process|
          process.run('record Array.new(1000) { |number| format("span %d", number) }')
          expect(process.run("TaskerTelemetry.flush(timeout: 30)")).to be(true)
        end
        expect(collector.await_spans(1000).map(&:name)).to match_array(Array.new(1000) { |n| "span #{n}" })
      end
    end

    it "arrives from children, too" do
      over_grpc do |process|
        expect(flushed(process)).to be(true)
        statuses = process.run("Array.new(3) { fork { record 'child' } }.map { |pid| Process.wait2(pid).last.to_i }")
        expect(statuses).to eq([0, 0, 0])
        process.run("record 'b'")
        expect(collector.await_spans(5).map(&:name)).to match_array(%w[a b child child child])
      end
    end

    it "waits for nobody that is stopped, and resumes by itself" do
      over_grpc("OTEL_EXPORTER_OTLP_TIMEOUT" => "500") do |process|
        expect(flushed(process)).to be(true)
        collector.await_spans(1)
        collector.pause
        expect(process.run("record 'b'; TaskerTelemetry.flush(timeout: 0.2)")).to be(false)
        eventually { process.run("TaskerTelemetry.status[:traces][:last_error]") }
        collector.resume
        expect(collector.await_spans(2, within: 60).map(&:name)).to match_array(%w[a b])
      end
    end

    it "resumes by itself after a restart" do
      over_grpc do |process|
        expect(flushed(process)).to be(true)
        collector.stop
        process.run("record 'b'")
        eventually { process.run("TaskerTelemetry.status[:traces][:last_error]") }
        collector.start
        expect(collector.await_spans(2, within: 60).map(&:name)).to match_array(%w[a b])
        eventually { expect(process.spans_counted).to eq("exported" => 2) }
      end
    end
  end
end
