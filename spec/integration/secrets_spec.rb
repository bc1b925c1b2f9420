# frozen_string_literal: true

require "logger"
require "net/http"
require "rack/mock"
require "stringio"

RSpec.describe "Secrets", :collector do
  secret = "hunter2-c0ffee"

  before do
    TaskerTelemetry.reset!
    trace_to(@collector) do |config|
      config.traces.headers = { "authorization" => "Bearer #{secret}-header" }
      config.traces.net_http = true
      config.logs.enabled = true
      config.logger = Logger.new(log, formatter: ->(_, _, _, line) { "#{line}\n" })
      config.endpoint.token = "#{secret}-token"
    end
    TaskerTelemetry.events.map("secret.*", backends: %i[metrics traces logs])
    TaskerTelemetry::Log.reset
  end

  after { TaskerTelemetry.events.reset! }

  let(:log) { StringIO.new }

  # Everything that has left this process, or can be seen of it. Requests are taken as they came, and unpacked.
  def left
    expect(TaskerTelemetry.flush(timeout: 10)).to be(true)
    @collector.drain
    bodies = @collector.requests.map(&:body)
    expect(bodies).not_to be_empty
    [*bodies, log.string, TaskerTelemetry.status.inspect, TaskerTelemetry.config.inspect,
     TaskerTelemetry.export(:openmetrics), TaskerTelemetry.export(:json)].map(&:b).join("\n")
  end

  # Ways to put it into text of one's own.
  texts = {
    "a key and its value" => "cannot log in with password=#{secret}",
    "a key and a colon" => "token: #{secret} was refused",
    "JSON" => %({"user":"me","api_token":"#{secret}"}),
    "a Hash" => %({:password=>"#{secret}", "secret"=>'#{secret}'}),
    "JSON within JSON" => %({"body":"{\\"password\\":\\"#{secret}\\"}"}),
    "an Authorization header" => "GET / HTTP/1.1\r\nAuthorization: Basic #{["me:#{secret}"].pack("m0")}\r\n",
    "a Bearer token" => "sent Bearer #{secret}",
    "a URL with user info" => "could not reach https://me:#{secret}@example.org/path",
    "a URL with a token for a user" => "redis://#{secret}@example.org:6379/0",
    "an Authorization header with parameters" => "Authorization: Token token=\"#{secret}\", nonce=\"#{secret}\"",
    "an Authorization header of many words" => "Authorization: ApiKey id=7 #{secret}",
    "a list of headers" => %([["Host", "a"], ["Authorization", "Token #{secret}"]]),
    "a key and a value that begins with punctuation" => "password=;,&<#{secret}",
    "a key and a value with punctuation" => "password=a,b;c&d)e]f'#{secret}",
    "a key and an object" => %(password=#<struct a="#{secret}">),
    "a key and an Array" => "tokens=['a]', '#{secret}']",
    "XML" => "<user><password>#{secret}</password></user>",
    "a URL with escaped slashes" => "https:\\/\\/me:#{secret}@example.org",
    "a URL with a slash in the password" => "https://me:1234/#{secret}@example.org",
    "a query" => "GET /path?user=me&access_token=#{secret}&page=2",
    "a URL that is cut in the middle" => "#{"x" * (4_096 - 24)} https://me:#{secret}@example.org",
    "a URL that is cut later" => "#{"y" * (16_384 - 24)} https://me:#{secret}@example.org",
    "a URL that is cut in a line" => "#{"z" * (1_024 - 24)} https://me:#{secret}@example.org"
  }
  # What of it must not be seen.
  traces = [secret, secret[0, 7], ["me:#{secret}"].pack("m0")]

  define_method(:expect_none) do |where|
    bytes = where.b
    traces.each do |trace|
      at = bytes.index(trace.b)
      expect(at).to be_nil, -> { "stands in #{bytes[[at - 200, 0].max, 300].inspect}" }
    end
  end

  texts.each do |what, text|
    it "do not leave in #{what}" do
      error = RuntimeError.new(text)
      TaskerTelemetry.instrument("secret.text", note: text, list: [text], inner: { note: text }, text => 1)
      TaskerTelemetry.instrument("step.failed", task_id: 1, step_id: 2, duration: 1, error_message: text, note: text)
      begin
        TaskerTelemetry.instrument("secret.raising", error: text) { raise error }
      rescue RuntimeError
        nil
      end
      begin
        TaskerTelemetry.span(text, "note" => text) do |span|
          span["also"] = [text]
          span.add_event(text, note: text)
          span.record_exception(error)
          span.error!(text)
          span.name = "renamed #{text}"
          raise error
        end
      rescue RuntimeError
        nil
      end
      subscription = TaskerTelemetry::Notifications.subscribe("secret.heard") { raise error }
      TaskerTelemetry.instrument("secret.heard")
      everything = left
      expect_none(everything)
      expect(everything).to include("[FILTERED]")
      expect(@collector.spans.size).to eq(5)
      expect(log.string.lines.grep(/"event":"secret/).size).to eq(3)
    ensure
      TaskerTelemetry::Notifications.unsubscribe(subscription)
    end
  end

  it "do not leave in what the gem says of code that raises" do
    outcome = run_traced(<<~RUBY)
      TaskerTelemetry.collect { raise "token=#{secret}" }
      TaskerTelemetry.export(:prometheus)
      TaskerTelemetry::Notifications.subscribe("told") { raise "https://me:#{secret}@example.org" }
      TaskerTelemetry.instrument("told")
      puts TaskerTelemetry.status
    RUBY
    expect(outcome.err).to include("token=[FILTERED]", "https://[FILTERED]@example.org")
    expect_none(outcome.to_s)
  end

  it "do not leave under their names, however deep, whatever they are" do
    deep = { user: { "Password" => secret, list: [{ credit: { api_token: secret } }] }, ok: "shown" }
    TaskerTelemetry.instrument("secret.keys", password: secret, "user_password" => secret, secret_list: [secret],
                                              SSN: secret, token: { a: secret }, "HTTP_AUTHORIZATION" => secret,
                                              headers: { "Authorization" => secret }, deep: deep,
                                              session_token: :"#{secret}")
    TaskerTelemetry.span("keys", "password" => secret, deep: deep) do |span|
      span["my_secret"] = secret
      span.add_event("event", { deep: deep, token: secret })
    end
    everything = left
    expect_none(everything)
    expect(everything).to include("shown")
  end

  it "do not leave with what the application adds, or masks otherwise" do
    configure do |config|
      replacing = ->(key, value) { value.replace("gone") if key == "free_text" }
      config.filter_parameters = [:iban, /\Acard_[a-z]\z/, replacing]
      config.filter_mask = "<none>"
    end
    TaskerTelemetry.instrument("secret.own", my_iban: secret, card_a: secret, free_text: secret.dup,
                                             inner: { card_b: secret, free_text: secret.dup }, text: "iban=#{secret}")
    TaskerTelemetry.span("own", free_text: secret.dup) do |span|
      span["free_text"] = secret.dup
      span["inner"] = { free_text: secret.dup }
      span.add_event("event", free_text: secret.dup)
    end
    everything = left
    expect_none(everything)
    expect(everything).to include("<none>", "gone")
  end

  it "do not leave by a span, where only Ruby can say what they are" do
    configure do |config|
      replacing = ->(key, value) { value.replace("gone") if key == "note" }
      config.filter_parameters = [replacing, /(?<=my)pin/]
    end
    secrets = { "note" => secret, "mypin" => secret, "deep" => { note: secret, list: [{ "mypin" => secret }] } }
    TaskerTelemetry.span("initial", secrets) { nil }
    TaskerTelemetry.span("set") do |span|
      span["note"] = secret
      span.set_attribute("mypin", secret)
      span[:deep] = secrets["deep"]
      span.add_event("event", secrets)
      span.add_event("event", note: secret, mypin: secret)
    end
    expect_none(left)
    masked = { "note" => "gone", "mypin" => "[FILTERED]",
               "deep" => '{"note":"gone","list":[{"mypin":"[FILTERED]"}]}' }
    initial, set = @collector.spans.sort_by(&:end_ns)
    expect([initial, set].map(&:attributes)).to all eq(masked)
    expect(set.events.map(&:attributes)).to eq([masked, masked.except("deep")])
  end

  it "do not leave under filters that Rails asks about the path" do
    outcome = run_traced(<<~'RUBY')
      require "active_support"
      require "active_support/parameter_filter"
      require "json"
      filters = ["credit_card.code", /\Aorder\.items\.price\z/, /(?<!my_)card\.pin/]
      TaskerTelemetry.configure { |config| config.filter_parameters = filters }
      payload = { "credit_card" => { code: 1, "number" => 2 }, "file" => { "code" => 3 }, "code" => 4,
                  "order" => { "items" => [{ "price" => 5, "n" => 6 }] }, "credit_card.code" => 7,
                  "in" => [{ "credit_card" => { "code" => 8 } }], "card" => { "pin" => 9 }, "my_card" => { "pin" => 10 } }
      later = payload.to_h { |name, value| ["later.#{name}", { name => value }] }
      TaskerTelemetry.span("paths", payload) do |span|
        later.each { |name, value| span[name] = value }
        span.add_event("event", payload)
      end
      rails = ActiveSupport::ParameterFilter.new(filters)
      puts JSON.generate([rails.filter(payload), rails.filter(later)])
    RUBY
    rails, later = JSON.parse(outcome.out)
    @collector.await_spans(1)
    span = @collector.spans.first
    read = ->(value) { value.is_a?(String) && value.start_with?("{", "[{") ? JSON.parse(value) : value }
    expect(span.events.first.attributes.transform_values(&read)).to eq(rails)
    expect(span.attributes.slice(*rails.keys, *later.keys).transform_values(&read)).to eq(rails.merge(later))
    expect(rails.to_s.scan("FILTERED").size).to eq(5)
  end

  it "do not leave with requests, of one's own or to others" do
    app = TaskerTelemetry::Middleware.new(->(_env) { raise IOError, "token=#{secret}" })
    begin
      Rack::MockRequest.new(app).get("/path?token=#{secret}", "HTTP_AUTHORIZATION" => "Bearer #{secret}",
                                                              "HTTP_COOKIE" => "session=#{secret}")
    rescue IOError
      nil
    end
    port = URI(@collector.http_endpoint).port
    Net::HTTP.start("127.0.0.1", port) do |http|
      request = Net::HTTP::Get.new("/nowhere?token=#{secret}")
      request.basic_auth("me", secret)
      http.request(request)
    end
    expect_none(left)
    expect(@collector.spans.map(&:kind)).to contain_exactly(:server, :client)
  end

  it "are sent to the collector and shown to nobody else" do
    FaultyCollector.open do |collector|
      collector.status(code: 503)
      outcome = run_ruby("#{Traced::PREAMBLE}\n#{<<~RUBY}")
        TaskerTelemetry.configure do |config|
          config.traces.endpoint = "http://me:#{secret}@127.0.0.1:#{collector.port}"
          config.traces.headers = { "x-api-key" => "#{secret}" }
        end
        TaskerTelemetry.span("sent") { nil }
        TaskerTelemetry.flush(timeout: 1)
        p TaskerTelemetry.status, TaskerTelemetry.config, TaskerTelemetry.config.traces, TaskerTelemetry
        p TaskerTelemetry::MetricsBackend.instance, TaskerTelemetry.events, TaskerTelemetry::EventRouter
        TaskerTelemetry.shutdown(timeout: 0.1)
      RUBY
      expect(collector.requests.first.headers.to_s).to include(secret)
      expect(outcome.out).to match(/last_error=>"[^"]*503/)
      expect_none(outcome.to_s)
    end
  end

  it "are not repeated by an error" do
    {
      ->(config) { config.traces.endpoint = "https://me:#{secret}@:wrong" } => /endpoint/,
      ->(config) { config.traces.headers = "authorization=#{secret}" } => /headers/,
      ->(config) { config.traces.headers = { "bad name" => secret } } => /header/,
      ->(config) { config.traces.headers = { "x-key" => "#{secret}\n" } } => /header/,
      ->(config) { config.endpoint.token = [secret] } => /token/
    }.each do |set, message|
      expect { configure(&set) }.to raise_error(TaskerTelemetry::ConfigurationError) { |error|
        expect(error.message).to match(message)
        expect_none(error.full_message)
      }
    end
    outcome = run_ruby("#{Traced::PREAMBLE}\nTaskerTelemetry.span('a') { nil }",
                       env: { "OTEL_EXPORTER_OTLP_HEADERS" => "bad name=#{secret}",
                              "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://me:#{secret}@:wrong" })
    expect(outcome).not_to be_success
    expect_none(outcome.err)
  end

  it "are known from Rails' filter_parameters" do
    Application.open do |application|
      File.write("#{application.directory}/config/initializers/filter.rb",
                 "Rails.application.config.filter_parameters += [:iban, /\\Acard/, \"pay.code\"]\n")
      outcome = application.boot(<<~RUBY, env: traced_environment.except("ARENA").merge("TRACES" => "1"))
        TaskerTelemetry.configure { |config| config.logs.enabled = true }
        Rails.logger.level = :debug
        TaskerTelemetry.events.map("secret.rails", backends: %i[traces logs])
        TaskerTelemetry.instrument("secret.rails", iban: "#{secret}", card: "#{secret}", note: "iban=#{secret}", a: "shown",
                                                pay: { code: "#{secret}" }, code: "shown")
        TaskerTelemetry.flush
        $stderr.puts TaskerTelemetry.status.inspect
      RUBY
      expect(outcome).to be_success, outcome.to_s
      expect(outcome.err).to include("secret.rails", "shown")
      @collector.await_spans(1)
      expect(@collector.spans.first.attributes).to include("iban" => "[FILTERED]", "a" => "shown", "code" => "shown")
      expect_none([*@collector.requests.map(&:body), outcome.err].join.b)
    end
  end
end
