# frozen_string_literal: true

RSpec.describe TaskerTelemetry::Redaction do
  {
    "password=hunter2" => "password=[FILTERED]",
    "api_key: hunter2, user: jo" => "api_key: [FILTERED], user: jo",
    '{"access_token":"hunter2","id":7}' => '{"access_token":"[FILTERED]","id":7}',
    '{"password"=>"hunter2 and \" more", "id"=>7}' => '{"password"=>"[FILTERED]", "id"=>7}',
    '{\"secret\":\"hunter2\"}' => '{\"secret\":\"[FILTERED]\"}',
    'password="hunter2 unclosed' => 'password="[FILTERED]',
    "Authorization: Digest hunter2" => "Authorization: [FILTERED]",
    "sent Bearer hunter2." => "sent Bearer [FILTERED]",
    "redis://jo:hunter2@host:1/0" => "redis://[FILTERED]@host:1/0",
    "https://hunter2:p@ss@host/path" => "https://[FILTERED]@host/path",
    "token: Bearer hunter2" => "token: [FILTERED]",
    'Authorization: Token token="hunter2", nonce=1' => "Authorization: [FILTERED]",
    '["Authorization", "Token hunter2"]' => '["Authorization", "[FILTERED]"]',
    "password=;hunter,2)a" => "password=[FILTERED]",
    "a=1&password=&hunter2&b=2" => "a=1&password=[FILTERED]&b=2",
    'password=#<struct a="hunter2"> left' => "password=[FILTERED] left",
    "<password>hunter2</password>" => "<password>[FILTERED]</password>",
    'https:\/\/jo:hunter2@host' => 'https:\/\/[FILTERED]@host',
    "https://jo:1234/hunter2@host" => "https://[FILTERED]@host",
    "order 7: 5 items at 12:00" => "order 7: 5 items at 12:00",
    "nothing to hide" => "nothing to hide"
  }.each do |text, redacted|
    it "writes #{text} as #{redacted}" do
      expect(described_class.text(text)).to eq(redacted)
    end
  end

  it "takes long text in linear time, and cuts it" do
    ["a" * 1_000_000, "passw" * 200_000, "token=\\" * 200_000, "://" * 300_000, "=" * 1_000_000].each do |text|
      expect(described_class.text(text).length).to be < 20_000
    end
  end

  it "takes text that is none" do
    expect(described_class.text("\xff password=hunter2")).to eq("\u{FFFD} password=[FILTERED]")
    expect(described_class.text("password=käse".encode("UTF-16LE"))).to eq("password=[FILTERED]")
  end

  it "masks what a payload has under the name of a secret, at any depth" do
    payload = { "id" => 7, "password" => { "a" => 1 }, "in" => [{ "api_key" => "x", "note" => "token=x" }],
                "Authorization" => "x" }
    expect(described_class.payload(payload)).to eq(
      "id" => 7, "password" => "[FILTERED]", "in" => [{ "api_key" => "[FILTERED]", "note" => "token=[FILTERED]" }],
      "Authorization" => "[FILTERED]"
    )
    expect(payload["password"]).to eq("a" => 1)
  end

  it "leaves out a URL that is cut in the middle, however its slashes are written" do
    ["https://", "https:\\/\\/", "https:\\\\/\\\\/"].each do |beginning|
      text = "#{"x" * (4_096 - 24)} #{beginning}"
      expect(described_class.text("#{text}jo:hunter2hunter2@host")).to eq(text)
    end
    whole = "https://host/path and #{"x" * 4_096}"
    expect(described_class.text(whole)).to eq(whole[0, 4_096])
  end

  it "asks filters with a dot about paths, as Rails does" do
    outcome = run_ruby(<<~'RUBY')
      require "tasker_telemetry"
      require "active_support"
      require "active_support/parameter_filter"
      filters = ["credit_card.code", :"Deep.er", /\Aorder\.items\.price\z/, /(?<!my_)card\.pin/, /\Aid\z/,
                 ->(key, value) { value.replace("gone") if key == "note" }]
      TaskerTelemetry.configure { |config| config.filter_parameters = filters }
      payload = { "credit_card" => { "code" => 1, "codes" => [2], "code_of" => { "a" => 3 }, "number" => 4 },
                  "file" => { "code" => 5 }, "code" => 6, "a" => { "credit_card" => [{ "CODE" => 7 }, [{ "code" => 8 }]] },
                  "order" => { "items" => [{ "price" => 9, "n" => 10 }], "price" => 11 }, "credit_card.code" => 12,
                  "card" => { "pin" => 13 }, "my_card" => { "pin" => 14 }, "deep" => { "er" => { "x" => 15 } },
                  "x" => { "id" => 16, "my_id" => 17, "note" => +"a", "notes" => +"b" }, "note" => +"c" }
      ours = TaskerTelemetry::Redaction.payload(payload)
      rails = ActiveSupport::ParameterFilter.new(filters).filter(payload)
      puts ours == rails ? "same" : [ours, rails].inspect
      puts rails.to_s.scan("FILTERED").size
    RUBY
    expect(outcome.out).to eq("same\n10\n"), outcome.to_s
  end
end
