# frozen_string_literal: true

require "net/http"
require "rack/mock"
require "socket"

RSpec.describe "The way of a trace", :collector do
  trace_id = "0af7651916cd43dd8448eb211c80319c"
  parent_id = "b7ad6b7169203331"
  sampled = "00-#{trace_id}-#{parent_id}-01"
  unsampled = "00-#{trace_id}-#{parent_id}-00"
  invalid = ["", "00", "garbage", sampled.upcase, "00-#{"0" * 32}-#{parent_id}-01", "00-#{trace_id}-#{"0" * 16}-01",
             "ff-#{trace_id}-#{parent_id}-01", "#{sampled}-more", "#{sampled}\0", "é" * 55, "0" * 100_000]

  describe "through Rack" do
    before { trace_to(@collector) }

    def request(path = "/a/b?password=hunter2", status: 200, **env, &answer)
      answer ||= -> { [status, {}, []] }
      app = TaskerTelemetry::Middleware.new(->(_env) { answer.call })
      Rack::MockRequest.new(app).request("GET", path, env)
    end

    it "goes on with the request, and out of it" do
      headers = nil
      request("HTTP_TRACEPARENT" => sampled, "HTTP_TRACESTATE" => "a=b") do
        headers = TaskerTelemetry.trace_headers
        TaskerTelemetry.span("inside") { nil }
        [200, {}, []]
      end
      inside, server = sent(2)
      expect(server).to have_attributes(name: "GET", kind: :server, trace_id: trace_id, parent_id: parent_id,
                                        trace_state: "a=b", status: :unset)
      expect(server.attributes).to eq("http.request.method" => "GET", "url.path" => "/a/b", "url.scheme" => "http",
                                      "http.response.status_code" => 200)
      expect([inside.trace_id, inside.parent_id]).to eq([trace_id, server.span_id])
      expect(headers).to eq("traceparent" => "00-#{trace_id}-#{server.span_id}-01", "tracestate" => "a=b")
    end

    it "begins with a request that carries none, or what is none" do
      [nil, *invalid].each { |parent| request(**{ "HTTP_TRACEPARENT" => parent }.compact) }
      spans = sent(invalid.size + 1)
      expect(spans).to all be_root
      expect(spans.map(&:trace_id).uniq.size).to eq(spans.size)
      expect(spans.map(&:trace_id)).not_to include(trace_id)
    end

    it "has the whole path, of an application that is mounted below one too" do
      request("/b/c", "SCRIPT_NAME" => "/a")
      expect(sent(1).first.attributes["url.path"]).to eq("/a/b/c")
    end

    it "fails with the server, not with the client" do
      request(status: 404)
      request(status: 503)
      expect { request { raise IOError, "password=hunter2" } }.to raise_error(IOError)
      expect(sent(3).map { |span| [span.status, span.status_message, span.attributes["http.response.status_code"]] })
        .to eq([[:unset, nil, 404], [:error, nil, 503], [:error, "password=[FILTERED]", 500]])
    end

    it "stays out where it was left out" do
      headers = nil
      request("HTTP_TRACEPARENT" => unsampled) do
        headers = TaskerTelemetry.trace_headers
        TaskerTelemetry.span("inside") { |span| expect(span.recording?).to be(false) }
        [200, {}, []]
      end
      expect(headers["traceparent"]).to match(/\A00-#{trace_id}-[0-9a-f]{16}-00\z/)
      TaskerTelemetry.span("another") { nil }
      expect(sent(1).map(&:name)).to eq(["another"])
    end
  end

  describe "through Net::HTTP" do
    # Answers with that status, and gives the headers that came.
    def serving(status = 200)
      server = TCPServer.new("127.0.0.1", 0)
      seen = Queue.new
      thread = Thread.new do
        loop do
          socket = server.accept
          lines = []
          while (line = socket.gets&.chomp) && !line.empty?
            lines << line
          end
          seen << lines.drop(1).to_h { |header| header.downcase.split(": ", 2) }
          socket.write("HTTP/1.1 #{status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
          socket.close
        end
      end
      yield URI("http://127.0.0.1:#{server.addr[1]}/path?token=abc"), seen
    ensure
      thread&.kill
      server&.close
    end

    it "goes along where that is asked for" do
      trace_to(@collector) { |config| config.traces.net_http = true }
      serving do |uri, seen|
        TaskerTelemetry.span("outer") { Net::HTTP.get_response(uri) }
        TaskerTelemetry.span("outer") do
          Net::HTTP.start(uri.host, uri.port) { |http| http.request(Net::HTTP::Get.new(uri)) }
        end
        carried = Array.new(2) { seen.pop["traceparent"] }
        clients = sent(4).select { |span| span.kind == :client }
        expect(carried).to eq(clients.map { |span| "00-#{span.trace_id}-#{span.span_id}-01" })
        expect(clients.first).to have_attributes(name: "GET", root?: false)
        expect(clients.first.attributes).to eq(
          "http.request.method" => "GET", "server.address" => uri.host, "server.port" => uri.port,
          "url.path" => "/path", "http.response.status_code" => 200
        )
      end
    end

    it "fails with what is answered" do
      trace_to(@collector) { |config| config.traces.net_http = true }
      serving(404) { |uri,| Net::HTTP.get_response(uri) }
      expect(sent(1).first).to have_attributes(kind: :client, status: :error)
    end

    it "has the attempt where nobody listens" do
      trace_to(@collector) { |config| config.traces.net_http = true }
      closed = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
      http = Net::HTTP.new("127.0.0.1", closed)
      attempts = [-> { Net::HTTP.get_response(URI("http://127.0.0.1:#{closed}/path?token=abc")) },
                  -> { http.start }, -> { http.get("/path") }]
      attempts.each do |attempt|
        TaskerTelemetry.span("outer") { expect(&attempt).to raise_error(Errno::ECONNREFUSED) }
      end
      spans = sent(6)
      refused, outer = spans.partition { |span| span.name == "connect" }
      expect(refused.map(&:parent_id)).to eq(outer.map(&:span_id))
      expect(refused).to all have_attributes(kind: :client, status: :error)
      expect(refused.map(&:attributes)).to all eq("server.address" => "127.0.0.1", "server.port" => closed)
      expect(refused.map { |span| span.events.map { |event| event.attributes["exception.type"] } })
        .to all eq(["Errno::ECONNREFUSED"])
      refused.zip(outer).each { |inner, around| expect(inner.start_ns).to be_between(around.start_ns, around.end_ns) }
      expect(TaskerTelemetry.current_trace).to be_nil
    end

    it "is one span for a connection that is opened again" do
      trace_to(@collector) { |config| config.traces.net_http = true }
      serving do |uri,|
        Net::HTTP.start(uri.host, uri.port, keep_alive_timeout: 60) do |http|
          # The server closes after each answer.
          2.times { expect(http.get("/again").code).to eq("200") }
        end
      end
      expect(sent(2).map { |span| [span.name, span.status] }).to eq([["GET", :unset]] * 2)
    end

    it "stays here where that is not asked for, even if it was before" do
      trace_to(@collector) { |config| config.traces.net_http = true }
      trace_to(@collector) { |config| config.traces.net_http = false }
      serving do |uri, seen|
        TaskerTelemetry.span("outer") { Net::HTTP.get_response(uri) }
        expect(seen.pop).not_to include("traceparent")
      end
      expect(sent(1).map(&:name)).to eq(["outer"])
    end
  end

  describe "through jobs" do
    around { |example| RedisServer.open { |redis| (@redis = redis) && example.run } }

    after { @sidekiq&.stop }

    it "goes with those of ActiveJob to a Sidekiq, which retries" do
      Application.open do |application|
        env = { "LIBRARIES" => "sidekiq", "QUEUE_ADAPTER" => "sidekiq", "REDIS_URL" => @redis.url, "TRACES" => "1",
                **traced_environment.except("ARENA") }
        @sidekiq = SidekiqProcess.new(application.directory, ".", queues: %w[work default], env: env.merge(
          "RAILS_ENV" => "production", "RACK_ENV" => nil, "ARENA" => application.arena,
          "RUBYLIB" => [File.join(RubyProcess::ROOT, "lib"), ENV.fetch("RUBYLIB", nil)].compact.join(":")
        ))
        outcome = application.boot(<<~RUBY, env: env)
          TaskerTelemetry.span("request") { WorkJob.perform_later("good") }
          TaskerTelemetry.span("request") { WorkJob.perform_later("again") }
          TaskerTelemetry.span("request") { WorkJob.perform_later("bad") }
        RUBY
        expect(outcome).to be_success, outcome.to_s
        @collector.await_spans(3 + 3 + 1 + 5 + 1, within: 120)
        eventually(within: 120) { @collector.spans.count { |span| span.name == "WorkJob process" } >= 5 }
        @sidekiq.stop
        traces = Otlp::Trace.of(@collector.spans)
        expect(traces.values).to all be_tree
        # What failed for good is tried again by Sidekiq after a while: another run beside the first.
        once = traces.values.map { |trace| trace.outline.gsub(/^( +WorkJob process\n)\1+/, "\\1") }
        expect(once).to contain_exactly(
          *["request\n  WorkJob publish\n    WorkJob process\n"] * 2,
          <<~TREE
            request
              WorkJob publish
                WorkJob process
                  WorkJob publish
                    WorkJob process
                      WorkJob publish
                        WorkJob process
          TREE
        )
        process = @collector.spans.select { |span| span.name == "WorkJob process" }
        expect(process.map(&:kind)).to all eq(:consumer)
        expect(process.first.attributes).to include("messaging.system" => "active_job",
                                                    "messaging.destination.name" => "work")
        expect(@collector.spans.select { |span| span.name == "WorkJob publish" }.map(&:kind)).to all eq(:producer)
        expect(process.map { |span| span.resource["process.pid"] }.uniq.size).to eq(1)
        expect(@collector.received_spans.size).to eq(@collector.spans.size)
      end
    end

    describe "of Sidekiq's own" do
      around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

      before { File.write("#{@directory}/program.rb", program) }

      let(:env) { { "REDIS_URL" => @redis.url, "RACK_ENV" => "production", "RAILS_ENV" => nil, **traced_environment } }

      let(:program) { <<~'RUBY' }
        require "sidekiq"
        require "tasker_telemetry"
        TaskerTelemetry.configure do |config|
          config.traces.enabled = true
          config.metrics.arena = ENV.fetch("ARENA")
        end
        redis = { url: ENV.fetch("REDIS_URL") }
        Sidekiq.configure_server do |config|
          config.redis = redis
          config.average_scheduled_poll_interval = 1
        end
        Sidekiq.configure_client { |config| config.redis = redis }
        TaskerTelemetry::Tracing.install

        class PlainJob
          include Sidekiq::Worker
          sidekiq_options retry: 0

          def perform(fate)
            raise "token=abc" if fate == "bad"

            PlainJob.perform_async("good") if fate == "again"
          end
        end

        class RetriedJob
          include Sidekiq::Worker
          sidekiq_options retry: 1
          sidekiq_retry_in { 1 }

          def perform(path)
            return if File.exist?(path)

            File.write(path, "")
            raise "not yet"
          end
        end
      RUBY

      # Pushes jobs, has them run, and gives their traces.
      def outlines(code, spans)
        @sidekiq = SidekiqProcess.new(@directory, "./program.rb", env: env)
        outcome = run_ruby("require './program'\n#{code}", chdir: @directory, env: env)
        expect(outcome).to be_success, outcome.to_s
        @collector.await_spans(spans, within: 60)
        @sidekiq.stop
        expect(@collector.received_spans.size).to eq(spans)
        Otlp::Trace.of(@collector.spans).values.map(&:outline)
      end

      it "goes with them, each run in a span" do
        expect(outlines(<<~RUBY, 8)).to contain_exactly(
          TaskerTelemetry.span("request") { PlainJob.perform_async("again") }
          TaskerTelemetry.span("request") { PlainJob.perform_async("bad") }
        RUBY
          "request\n  PlainJob publish\n    PlainJob process\n      PlainJob publish\n        PlainJob process\n",
          "request\n  PlainJob publish\n    PlainJob process\n"
        )
        failed = @collector.spans.select { |span| span.status == :error }
        expect(failed.map { |span| [span.name, span.status_message] }).to eq([["PlainJob process", "token=[FILTERED]"]])
      end

      it "stays with those that wait to be due, or to be tried again" do
        expect(outlines(<<~RUBY, 7)).to contain_exactly(
          TaskerTelemetry.span("request") { PlainJob.perform_in(1, "good") }
          TaskerTelemetry.span("request") { RetriedJob.perform_async("#{@directory}/tried") }
        RUBY
          "request\n  PlainJob publish\n    PlainJob process\n",
          "request\n  RetriedJob publish\n    RetriedJob process\n    RetriedJob process\n"
        )
        runs = @collector.spans.select { |span| span.name == "RetriedJob process" }
        expect(runs.sort_by(&:start_ns).map(&:status)).to eq(%i[error unset])
      end
    end
  end

  describe "when it is sampled" do
    code = <<~'RUBY'
      100.times do |task|
        TaskerTelemetry.instrument("step.completed", task_id: task, step_id: "#{task} #{ARGV[0]}", step_name: ARGV[0], duration: 1)
      end
    RUBY

    def kept(name)
      @collector.spans.select { |span| span.name == "step #{name}" }.map(&:trace_id).sort
    end

    it "is kept by all processes or by none" do
      env = { "OTEL_TRACES_SAMPLER" => "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG" => "0.5" }
      %w[a b].each { |name| run_traced(code, name, env: env) }
      @collector.drain
      expect(kept("a").size).to be_between(25, 75)
      expect(kept("a")).to eq(kept("b"))
    end

    it "is kept always by the ratio 1, and never by 0" do
      ratio = ->(value) { "TaskerTelemetry.configure { |config| config.traces.sample_ratio = #{value} }\n" }
      run_traced(ratio.call(0) + code, "a")
      run_traced(ratio.call(1) + code, "b", env: { "OTEL_TRACES_SAMPLER" => "always_off" })
      @collector.drain
      expect([kept("a").size, kept("b").size]).to eq([0, 100])
    end

    it "goes by the parent, whatever the ratio" do
      trace_to(@collector) { |config| config.traces.sample_ratio = 0 }
      TaskerTelemetry.continue_trace({ "traceparent" => sampled }, "kept") { nil }
      TaskerTelemetry.span("left out") { nil }
      trace_to(@collector) { |config| config.traces.sample_ratio = 1 }
      TaskerTelemetry.continue_trace({ "traceparent" => unsampled }, "left out") { nil }
      expect(sent(1).map(&:name)).to eq(["kept"])
    end
  end

  it "keeps the flags that came in beside the one that says whether it is kept" do
    trace_to(@collector)
    TaskerTelemetry.events.map("order.placed", backends: :traces)
    carried = %w[02 03].map do |flags|
      TaskerTelemetry.continue_trace({ "traceparent" => "00-#{trace_id}-#{parent_id}-#{flags}" }, "span") do
        in_span = TaskerTelemetry.trace_headers["traceparent"][-2..]
        in_event = nil
        TaskerTelemetry.instrument("order.placed") { in_event = TaskerTelemetry.trace_headers["traceparent"][-2..] }
        [in_span, in_event]
      end
    end
    expect(carried).to eq([%w[02 02], %w[03 03]])
    sent(2)
  ensure
    TaskerTelemetry.events.reset!
  end

  it "is never begun by a traceparent that is none" do
    trace_to(@collector)
    odd = [nil, 7, [], {}, Object.new]
    (invalid + odd).each { |parent| TaskerTelemetry.continue_trace({ "traceparent" => parent }, "own") { nil } }
    TaskerTelemetry.continue_trace({ "traceparent" => sampled, "tracestate" => "no state" }, "joined") { nil }
    spans = sent(invalid.size + odd.size + 1)
    joined, own = spans.partition { |span| span.name == "joined" }
    expect(own).to all be_root
    expect(joined.first).to have_attributes(trace_id: trace_id, parent_id: parent_id, trace_state: nil)
  end

  it "is begun where what should carry it is no carrier" do
    trace_to(@collector)
    raising = Class.new { def [](_key) = raise(NotImplementedError) }.new
    others = [nil, 7, [], "traceparent", Object.new, BasicObject.new, raising]
    expect(others.map { |carrier| TaskerTelemetry.continue_trace(carrier, "own") { :ran } }).to all eq(:ran)
    carrying = Class.new { define_method(:[]) { |key| { "traceparent" => sampled }[key] } }.new
    TaskerTelemetry.continue_trace(carrying, "joined") { nil }
    spans = sent(others.size + 1).group_by(&:name)
    expect(spans["own"]).to all be_root
    expect(spans["joined"].map(&:trace_id)).to eq([trace_id])
  end

  describe "beside OpenTelemetry Ruby" do
    # The part of it that is read, where the gem itself is not installed.
    opentelemetry = <<~'RUBY'
      begin
        require "opentelemetry-api"
      rescue LoadError
        module OpenTelemetry
          module Trace
            class TraceFlags < Struct.new(:flags)
              def sampled? = flags & 1 == 1
            end
            SpanContext = Struct.new(:trace_id, :span_id, :trace_flags, :tracestate, keyword_init: true) do
              def valid? = trace_id != "\0" * 16 && span_id != "\0" * 8
              def hex_trace_id = trace_id.unpack1("H*")
              def hex_span_id = span_id.unpack1("H*")
            end
            Span = Struct.new(:context)
            INVALID = Span.new(SpanContext.new(trace_id: "\0" * 16, span_id: "\0" * 8, trace_flags: TraceFlags.new(0)))
            def self.current_span(_context = nil) = Thread.current[:current_span] || INVALID
            def self.non_recording_span(context) = Span.new(context)
            def self.with_span(span)
              Thread.current[:current_span] = span
              yield span
            ensure
              Thread.current[:current_span] = nil
            end
          end
        end
      end
      flags = ARGV[0] == "kept" ? 1 : 0
      flags = OpenTelemetry::Trace::TraceFlags.respond_to?(:from_byte) ? OpenTelemetry::Trace::TraceFlags.from_byte(flags)
                                                                       : OpenTelemetry::Trace::TraceFlags.new(flags)
      CONTEXT = OpenTelemetry::Trace::SpanContext.new(trace_id: ["0af7651916cd43dd8448eb211c80319c"].pack("H*"),
                                                      span_id: ["b7ad6b7169203331"].pack("H*"), trace_flags: flags)
    RUBY

    it "is joined where that is loaded, and its decision followed" do
      code = <<~'RUBY'
        TaskerTelemetry.events.register("order.shipped")
        OpenTelemetry::Trace.with_span(OpenTelemetry::Trace.non_recording_span(CONTEXT)) do
          TaskerTelemetry.span("joined") { TaskerTelemetry.span("inner") { nil } }
          TaskerTelemetry.instrument("order.shipped")
        end
        TaskerTelemetry.span("own #{ARGV[0]}") { nil }
      RUBY
      run_traced(opentelemetry + code, "kept")
      run_traced(opentelemetry + code, "left out")
      spans = received(5).to_h { |span| [span.name, span] }
      expect([spans["joined"].trace_id, spans["joined"].parent_id]).to eq([trace_id, parent_id])
      expect(spans["inner"].parent_id).to eq(spans["joined"].span_id)
      expect([spans["order.shipped"].trace_id, spans["order.shipped"].parent_id]).to eq([trace_id, parent_id])
      expect([spans["own kept"], spans["own left out"]]).to all be_root
    end

    it "is one's own where OpenTelemetry cannot be asked" do
      outcome = run_traced(<<~'RUBY')
        module OpenTelemetry
          module Trace
            def self.current_span = raise("not today")
          end
        end
        3.times { TaskerTelemetry.span("own") { nil } }
      RUBY
      expect(received(3)).to all be_root
      expect(outcome.err.scan("OpenTelemetry's current span").size).to eq(1)
    end
  end

  describe "by OpenTelemetry's variables" do
    code = 'TaskerTelemetry.span("one", "a" => "x" * 50, "b" => 2, "c" => 3) { nil }'

    it "names the service and what else is known of it" do
      run_traced(code, env: { "OTEL_SERVICE_NAME" => "shop", "OTEL_RESOURCE_ATTRIBUTES" =>
                              "service.name=no,service.version=1.2.3,team=a%20b,deployment.environment.name=blue" })
      expect(received(1).first.resource).to include("service.name" => "shop", "service.version" => "1.2.3",
                                                    "team" => "a b")
    end

    it "goes by gRPC, or to a path of its own, with headers" do
      run_traced(code, env: { "OTEL_EXPORTER_OTLP_PROTOCOL" => "grpc",
                              "OTEL_EXPORTER_OTLP_ENDPOINT" => @collector.grpc_endpoint })
      received(1)
      FaultyCollector.open do |collector|
        run_traced(code, env: { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => "#{collector.endpoint}/own/traces",
                                "OTEL_EXPORTER_OTLP_HEADERS" => "x-key=a%20secret,x-other=1",
                                "OTEL_EXPORTER_OTLP_COMPRESSION" => "gzip" })
        request = collector.requests.first
        expect(request.path).to eq("/own/traces")
        expect(request.headers).to include("x-key" => "a secret", "x-other" => "1")
        expect(request).to be_packed
      end
    end

    it "is cut to size" do
      run_traced(code, env: { "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" => "2", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" => "7" })
      expect(received(1).first.attributes).to eq("a" => "x" * 7, "b" => 2)
    end

    it "is off where they say so" do
      { "OTEL_SDK_DISABLED" => "true", "OTEL_TRACES_SAMPLER" => "always_off", "OTEL_TRACES_EXPORTER" => "none" }
        .each { |name, value| run_traced(code, env: { name => value }) }
      @collector.drain
      expect(@collector.spans).to be_empty
    end

    it "is refused with the variable, its value and what is accepted" do
      { "OTEL_TRACES_SAMPLER" => "sometimes", "OTEL_BSP_MAX_QUEUE_SIZE" => "many",
        "OTEL_EXPORTER_OTLP_PROTOCOL" => "carrier pigeon" }.each do |name, value|
        outcome = run_ruby("#{Traced::PREAMBLE}\n#{code}", env: { name => value })
        expect(outcome).not_to be_success
        expect(outcome.err).to include("ConfigurationError", name, value)
      end
    end
  end
end
