# frozen_string_literal: true

RSpec.describe TaskerTelemetry::Filters do
  def filters(*given)
    described_class.new(given, "***")
  end

  it "tells the native side names and Regexps, in its own syntax" do
    expect(filters(:iban, "api.key", /card/i, /\Apin\Z/, /a.b/mx).to_native).to eq(
      names: %w[iban api.key], patterns: ["(?mi)card", '(?m)\Apin\z', "(?msx)a.b"], mask: "***", ask: false
    )
  end

  it "asks Ruby for what only Ruby understands" do
    around = filters(/(?<!not_)pin/, /\A\h+\z/)
    expect(around.to_native).to include(patterns: [], ask: true)
    expect(around.call("pin", 5)).to eq("***")
    expect(around.call("not_pin", 5)).to eq(5)
    expect(around.call("beef", "x")).to eq("***")
  end

  it "asks a Regexp with a dot in it about the path" do
    paths = filters(/(?<!my_)card\.pin\z/)
    expect(paths.call("pin", 5)).to eq(5)
    expect(paths.call("pin", 5, "card.pin")).to eq("***")
    expect(paths.deep("card", { pin: 1, a: [{ pin: 2 }] })).to eq(pin: "***", a: [{ pin: 2 }])
    expect(paths.deep("a", [{ "card" => [{ "pin" => 1 }] }])).to eq([{ "card" => [{ "pin" => "***" }] }])
    expect(paths.within("a", "b")).to eq("a.b")
    expect(filters(:pin, /card/).within("a", "b")).to be_nil
  end

  it "puts nothing in the place of all that is in what is filtered" do
    expect(filters(/(?<!not_)pin/).deep("a", { pin: { a: 1 }, pins: [1], not_pin: { b: 2 } }))
      .to eq(pin: "***", pins: "***", not_pin: { b: 2 })
  end

  it "lets callables change a copy of a String, as Rails does" do
    text = "4111 1111"
    blanking = filters(->(key, value) { value.gsub!(/\d/, "x") if key == "card" })
    expect(blanking.call("card", text)).to eq("xxxx xxxx")
    expect(blanking.call("other", text)).to eq(text)
    expect(blanking.call("card", 5)).to eq(5)
    expect(text).to eq("4111 1111")
    expect(filters(->(_, value, params) { value << params.size.to_s }).call("a", +"b")).to eq("b0")
  end

  it "adds what the configuration says to the defaults where there is no Rails" do
    config = TaskerTelemetry::Configuration.new
    config.filter_parameters = [:iban]
    expect(described_class.of(config).to_native[:names])
      .to eq(%w[passw secret token _key crypt salt certificate otp ssn iban])
  end

  it "adds it to what a Rails application filters, if that filters anything" do
    outcome = run_ruby(<<~'RUBY', env: { "RAILS_ENV" => "test" })
      require "rails"
      class Shop < Rails::Application
        config.eager_load = false
      end
      require "tasker_telemetry"
      TaskerTelemetry.configure { |config| config.filter_parameters = [:iban] }
      p TaskerTelemetry::Filters.of(TaskerTelemetry.config).to_native[:names].values_at(0, -1)
      Rails.application.config.filter_parameters += [:pin]
      p TaskerTelemetry::Filters.of(TaskerTelemetry.config).to_native[:names]
    RUBY
    expect(outcome.out).to eq(%(["passw", "iban"]\n["pin", "iban"]\n)), outcome.to_s
  end
end
