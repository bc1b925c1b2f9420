# frozen_string_literal: true

require "rack/mock"

RSpec.describe TaskerTelemetry::Correlation do
  def current
    TaskerTelemetry.correlation_id
  end

  it "is that of the block, and returns what the block returns" do
    expect(current).to be_nil
    value = TaskerTelemetry.with_correlation_id("outer") do
      TaskerTelemetry.with_correlation_id(7) { expect(current).to eq("7") }
      TaskerTelemetry.with_correlation_id(nil) { expect(current).to be_nil }
      current
    end
    expect([value, current]).to eq(["outer", nil])
  end

  it "ends with a block that raises" do
    expect { TaskerTelemetry.with_correlation_id("x") { raise "no" } }.to raise_error("no")
    expect(current).to be_nil
  end

  it "goes with the fiber" do
    TaskerTelemetry.with_correlation_id("here") do
      expect([Fiber.new { current }.resume, Thread.new { current }.value]).to eq([nil, nil])
    end
  end

  it "is one word, and not too long" do
    TaskerTelemetry.with_correlation_id("a\nb c\0\xff#{"x" * 300}") do
      expect(current).to eq("abc\u{FFFD}#{"x" * 251}")
    end
    TaskerTelemetry.with_correlation_id(" ") { expect(current).to be_nil }
  end

  it "is that of the payload first" do
    TaskerTelemetry.with_correlation_id("current") do
      expect(described_class.of({ correlation_id: "own" })).to eq("own")
      expect(described_class.of({ "correlation_id" => "own" })).to eq("own")
      expect(described_class.of({ request_id: "request" })).to eq("current")
    end
    expect(described_class.of({ request_id: "request" })).to eq("request")
    expect(described_class.of({})).to be_nil
  end

  it "is else that of the request which is answered" do
    seen = []
    application = TaskerTelemetry::Middleware.new(lambda do |env|
      seen << current
      # As ActionDispatch::RequestId does it, further in.
      env["action_dispatch.request_id"] = "made by Rails".delete(" ")
      seen << current
      TaskerTelemetry.with_correlation_id("own") { seen << current }
      [200, {}, []]
    end)
    Rack::MockRequest.new(application).get("/", "HTTP_X_REQUEST_ID" => "from outside\n".delete(" "))
    expect(seen).to eq(%w[fromoutside madebyRails own])
    expect(current).to be_nil
  end
end
