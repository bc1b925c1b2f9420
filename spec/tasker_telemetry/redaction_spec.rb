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
end
