# frozen_string_literal: true

require "pathname"
require "yaml"

RSpec.describe TaskerTelemetry::Configuration do
  subject(:config) { described_class.new }

  def with_environment(variables)
    before = ENV.to_h
    ENV.update(variables)
    yield
  ensure
    ENV.replace(before)
  end

  describe "defaults" do
    it "are those of the documentation" do
      expect(config.to_h).to eq(
        service_name: "app", environment: "test", strict: false, logger: nil, filter_parameters: [],
        filter_mask: "[FILTERED]",
        metrics: { enabled: true, arena: :memory, prefix: nil, default_labels: {}, max_series: 10_000,
                   idle_expiry: nil,
                   otlp: { enabled: false, endpoint: nil, protocol: nil, headers: nil, interval: nil } },
        endpoint: { path: nil, token: nil, username: nil, password: nil, allow: nil, authorize: nil },
        traces: { enabled: false, endpoint: nil, protocol: nil, headers: nil, sample_ratio: nil, queue_size: nil,
                  net_http: false },
        logs: { enabled: false, format: :json },
        instrumentation: { rack: true, action_controller: true, active_record: true, active_job: true,
                           action_mailer: true, active_storage: true, cache: true, sidekiq: true, puma: true,
                           interval: 10.0 }
      )
    end

    it "take the service's name from OTEL_SERVICE_NAME" do
      with_environment("OTEL_SERVICE_NAME" => "shop") { expect(config.service_name).to eq("shop") }
      with_environment("OTEL_SERVICE_NAME" => "") { expect(config.service_name).to eq("app") }
    end

    it "take the environment from RACK_ENV where there is no Rails" do
      with_environment("RACK_ENV" => "staging") { expect(config.environment).to eq("staging") }
      with_environment("RACK_ENV" => nil) { expect(config.environment).to eq("development") }
    end

    it "keep the samples of tests in memory" do
      with_environment("RACK_ENV" => nil, "RAILS_ENV" => nil) { expect(config.metrics.arena).to eq(:auto) }
      with_environment("RACK_ENV" => nil, "RAILS_ENV" => "test") { expect(config.metrics.arena).to eq(:memory) }
    end
  end

  describe "an option that does not exist" do
    it "is named, with the nearest and all that are accepted" do
      expect { config.metrics.max_serie = 1 }.to raise_error(
        TaskerTelemetry::ConfigurationError,
        "config.metrics.max_serie is not an option (did you mean max_series?); " \
        "accepted: enabled, arena, prefix, default_labels, max_series, idle_expiry, otlp"
      )
      expect { config.nonsense }.to raise_error(
        TaskerTelemetry::ConfigurationError,
        "config.nonsense is not an option; accepted: service_name, environment, strict, logger, filter_parameters, " \
        "filter_mask, metrics, endpoint, traces, logs, instrumentation"
      )
    end

    it "may be one that every object has as a private method" do
      expect { config.metrics.test = 1 }.to raise_error(TaskerTelemetry::ConfigurationError, /config.metrics.test /)
      expect { config.system }.to raise_error(TaskerTelemetry::ConfigurationError, /config.system is not an option/)
    end

    it "may be a group" do
      expect { config.metrics = {} }.to raise_error(
        TaskerTelemetry::ConfigurationError, /config.metrics is a group of options .* it has: enabled, arena/
      )
    end

    it "does not get in the way of Ruby's conversions" do
      expect { "#{config} #{[[config]].flatten}" }.not_to raise_error
    end
  end

  describe "a value that cannot be used" do
    {
      "service_name" => ["", nil.to_a, 5, "a\0b", "a\xff", "two\nlines", "a\xff".b, "\u{85}",
                         "\xd8\x00".dup.force_encoding("UTF-16BE")],
      "environment" => ["", "a\xff", "a\tb"],
      "strict" => ["yes", 1, :true], # rubocop:disable Lint/BooleanSymbol
      "logger" => ["log/production.log", Object.new],
      "metrics.enabled" => ["false"],
      "metrics.arena" => ["relative/path", :shared, "", 5, "/a\0b"],
      "metrics.prefix" => ["", "a\xff"],
      "metrics.default_labels" => [[], "region=eu"],
      "metrics.max_series" => [0, -1, 2**32, 1.5, "10"],
      "metrics.idle_expiry" => [0, -1, 3_155_760_001, 1e300, 10**400, Float::NAN, Float::INFINITY, "60", Complex(1, 1)],
      "endpoint.path" => ["metrics", "/met rics", "/metrics?all", ""],
      "endpoint.token" => ["", 5, :token, "hunter2".encode("UTF-16LE"), "hunter2\n", " hunter2", "hun\tter2"],
      "endpoint.username" => ["", "prometheus:1", "prometheus\n"],
      "endpoint.password" => ["", 5],
      "endpoint.allow" => ["nonsense", ["10.0.0.0/33"], [5], [], { a: 1 }],
      "endpoint.authorize" => [true, "always"],
      "traces.enabled" => ["true"],
      "traces.endpoint" => ["localhost:4318", "ftp://localhost", "http://", "http://a b", 5, ""],
      "traces.protocol" => [:http_json, "grpc", ""],
      "traces.headers" => ["a=b", { "a b" => "c" }, { "a" => "b\nc" }, { "" => "x" }],
      "traces.sample_ratio" => [-0.1, 1.1, Float::NAN, "0.5", Complex(0, 1)],
      "traces.queue_size" => [0, 1.5],
      "traces.net_http" => [:yes],
      "metrics.otlp.enabled" => [1],
      "metrics.otlp.endpoint" => ["collector"],
      "metrics.otlp.protocol" => [:http],
      "metrics.otlp.headers" => [[]],
      "metrics.otlp.interval" => [0, "60"],
      "filter_parameters" => [[5], [""], { a: 1 }],
      "filter_mask" => ["", "a\nb"],
      "logs.enabled" => ["true", 1],
      "logs.format" => [:xml, "", 5],
      "instrumentation.active_record" => ["yes", 1],
      "instrumentation.interval" => [0, -1, "10"]
    }.each do |path, values|
      values.each do |value|
        it "#{path} = #{value.inspect} is refused by name" do
          *groups, name = path.split(".")
          group = groups.reduce(config, :public_send)
          before = group.public_send(name)
          expect { group.public_send(:"#{name}=", value) }
            .to raise_error(TaskerTelemetry::ConfigurationError, /\Aconfig\.#{path} cannot be .*; accepted is /m)
          expect(group.public_send(name)).to eq(before)
        end
      end
    end

    it "may be a label whose to_s raises, or an object that cannot be shown" do
      [RuntimeError, NotImplementedError, SecurityError].each do |error|
        nameless = Object.new
        %i[to_s inspect].each { |name| nameless.define_singleton_method(name) { raise error, "no words for it" } }
        expect { config.metrics.default_labels = { region: nameless } }.to raise_error(
          TaskerTelemetry::ConfigurationError, /default_labels cannot be of class Hash.*accepted is a Hash/
        )
      end
    end

    it "may be a default of the environment's" do
      { "OTEL_SERVICE_NAME" => "service_name", "RACK_ENV" => "environment" }.each do |variable, option|
        with_environment(variable => "two\nlines") do
          expect { config.validate! }.to raise_error(
            TaskerTelemetry::ConfigurationError, /\Aconfig.#{option} would be "two\\nlines" by default; accepted is/
          )
          config.public_send(:"#{option}=", "shop")
          expect { config.validate! }.not_to raise_error
        end
      end
    end

    it "is shown, shortened" do
      expect { config.metrics.max_series = "1" * 1000 }.to raise_error(/cannot be "1{99}…; accepted is a whole number/)
    end

    it "is not shown when it is an object that may hold anything" do
      expect { config.logger = { password: "hunter2" } }.to raise_error(
        TaskerTelemetry::ConfigurationError,
        "config.logger cannot be of class Hash (not shown); accepted is an object that answers to warn and error"
      )
      expect { config.endpoint.authorize = ["hunter2"] }
        .to raise_error(TaskerTelemetry::ConfigurationError, /cannot be of class Array \(not shown\)/)
    end

    { "ftp://me:hunter2@collector" => "ftp://collector", "ftp://collector/in?key=hunter2" => "ftp://collector/in",
      "me:hunter2@collector:1/in" => "collector:1/in", "ftp://me:hunt?er2@collector" => "ftp://",
      "ftp://collector?key=hunter2@collector" => "ftp://" }.each do |url, shown|
      it "is shown without the user's name, the password and the query when it is a URL, as in #{url}" do
        expect { config.traces.endpoint = url }
          .to raise_error(TaskerTelemetry::ConfigurationError, /cannot be "#{Regexp.escape(shown)}"/)
      end
    end

    it "is not shown when it is a secret" do
      %i[token password].each do |name|
        expect { config.endpoint.public_send(:"#{name}=", :hunter2) }
          .to raise_error(TaskerTelemetry::ConfigurationError, /cannot be of class Symbol \(not shown\)/)
      end
    end
  end

  describe "a value that can be used" do
    it "is taken in each form that it may have" do
      config.service_name = :shop
      config.metrics.arena = Pathname("/tmp/arena")
      config.metrics.default_labels = { region: :eu, "zone" => 1 }
      config.metrics.idle_expiry = 60
      config.endpoint.allow = "10.0.0.0/8"
      expect(config.service_name).to eq("shop")
      expect(config.metrics.to_native)
        .to include(place: "/tmp/arena", default_labels: { "region" => "eu", "zone" => "1" }, idle_expiry: 60.0)
      expect(config.endpoint.allow).to eq([IPAddr.new("10.0.0.0/8")])
    end

    it "may be a label of any bytes, as in a sample" do
      latin = "caf\xE9".dup.force_encoding("ISO-8859-1")
      config.metrics.default_labels = { broken: "a\xff", binary: "k\u{e4}se".b, latin: latin, nothing: nil,
                                        lines: "a\nb" }
      expect(config.metrics.default_labels).to eq(
        "broken" => "a\u{FFFD}", "binary" => "k\u{e4}se", "latin" => "caf\u{e9}", "nothing" => "", "lines" => "a\nb"
      )
    end

    it "may be a name of another encoding, which becomes UTF-8" do
      config.service_name = "caf\xE9".dup.force_encoding("ISO-8859-1")
      config.environment = "k\u{e4}se".b
      expect([config.service_name, config.environment]).to eq(%W[caf\u{e9} k\u{e4}se])
    end

    it "goes back to the default by nil" do
      config.metrics.max_series = 5
      config.metrics.max_series = nil
      expect(config.metrics.max_series).to eq(10_000)
    end

    it "is false where that is a value" do
      config.metrics.enabled = false
      expect(config.metrics.enabled).to be(false)
    end
  end

  describe "half of a pair" do
    it "is refused" do
      config.endpoint.username = "prometheus"
      expect { config.validate! }.to raise_error(
        TaskerTelemetry::ConfigurationError, "config.endpoint.username needs config.endpoint.password beside it"
      )
    end
  end

  describe "secrets" do
    before do
      config.endpoint.token = "hunter2"
      config.endpoint.username = "prometheus"
      config.endpoint.password = "swordfish"
      config.traces.headers = { "authorization" => "swordfish" }
      config.traces.endpoint = "https://me:hunter2@collector:4318/in?api_key=hunter2"
      config.metrics.otlp.endpoint = "https://collector:4318/?key=hunter2&contact=me@example.org#hunter2"
    end

    it "are readable by their own methods and shown nowhere" do
      expect([config.endpoint.token, config.endpoint.password]).to eq(%w[hunter2 swordfish])
      shown = [config.inspect, config.to_s, config.to_h.inspect, config.endpoint.inspect, config.endpoint.to_s]
      expect(shown.join).to include("[FILTERED]").and include("prometheus")
      expect(shown.join).not_to match(/hunter2|swordfish/)
    end

    it "stay out of what is made for other programs" do
      config.logger = Logger.new($stderr).tap { |logger| logger.progname = "hunter2" }
      config.endpoint.authorize = Struct.new(:secret) { def call(_env) = true }.new("hunter2")
      [config, config.endpoint].each do |options|
        expect(options.to_yaml).to include("[FILTERED]").and include("prometheus")
        expect([options.to_yaml, options.inspect, options.to_h.to_s].join).not_to match(/hunter2|swordfish/)
        expect { Marshal.dump(options) }.to raise_error(TypeError, /\Aconfig.* is not for Marshal/)
      end
      expect(config.inspect).to include('logger="Logger"')
    end

    it "stay out of the JSON that ActiveSupport makes" do
      outcome = run_ruby(<<~RUBY, env: { "RACK_ENV" => "test" })
        require "active_support"
        require "active_support/json"
        require "tasker_telemetry"
        TaskerTelemetry.configure { |config| config.endpoint.token = "hunter2" }
        puts TaskerTelemetry.config.to_json
      RUBY
      expect(outcome.out).to include("[FILTERED]"), outcome.to_s
      expect(outcome.out).not_to include("hunter2")
    end

    it "stay out of errors" do
      mistyped = -> { config.endpoint.tokn = "hunter2" }
      expect(&mistyped).to raise_error(TaskerTelemetry::ConfigurationError, /\A(?!.*hunter2)/)
      config.freeze
      expect { config.endpoint.token = "swordfish" }
        .to raise_error(FrozenError) { |error| expect(error.full_message).not_to match(/hunter2|swordfish/) }
    end
  end

  describe "once frozen" do
    it "keeps the defaults that it had" do
      with_environment("OTEL_SERVICE_NAME" => "before") { config.freeze }
      expect(config.service_name).to eq("before")
    end

    it "takes no value, in no group, and hands out nothing that can be changed" do
      config.metrics.default_labels = { region: "eu" }
      config.freeze
      expect { config.service_name = "x" }.to raise_error(FrozenError, /config.service_name/)
      expect { config.metrics.max_series = 1 }.to raise_error(FrozenError, /config.metrics.max_series/)
      expect { config.metrics.default_labels["zone"] = "1" }.to raise_error(FrozenError)
      expect { config.service_name << "x" }.to raise_error(FrozenError)
    end

    it "gives copies that can be changed, and whose defaults are those of their own time" do
      config.metrics.max_series = 7
      with_environment("OTEL_SERVICE_NAME" => "before") { config.freeze }
      copy = config.dup
      copy.metrics.max_series = 8
      expect([copy.metrics.max_series, config.metrics.max_series]).to eq([8, 7])
      with_environment("OTEL_SERVICE_NAME" => "after") { expect(copy.service_name).to eq("after") }
    end

    it "does not change when what was assigned does" do
      name = +"shop"
      config.service_name = name
      name << "!"
      expect(config.service_name).to eq("shop")
    end
  end
end
