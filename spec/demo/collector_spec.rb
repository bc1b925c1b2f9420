# frozen_string_literal: true

require "net/http"
require "tmpdir"

%w[wait children collector].each { |part| require_relative "../../demo/driver/#{part}" }

RSpec.describe "Demo::Collector" do
  around { |example| Dir.mktmpdir { |directory| @directory = directory and example.run } }

  let(:children) { Demo::Children.new(File.join(@directory, "logs")) }
  let(:collector) { Demo::Collector.new(@directory, children) }

  after { children.stop_all }

  it "has what it was sent once it is finished" do
    collector.start
    # A request of one span with ids and a name.
    span = "\x0a\x10#{"t" * 16}\x12\x08#{"s" * 8}\x2a\x05audit"
    body = "\x12\x12\x0a".each_char.inject(span) { |inner, field| "#{field}#{inner.bytesize.chr}#{inner}" }
    endpoint = URI(collector.over_http.fetch("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
    answer = Net::HTTP.post(endpoint, body, "Content-Type" => "application/x-protobuf")
    expect(answer.code).to eq("200")
    collector.finish
    expect(collector.spans.map(&:name)).to eq(["audit"])
    expect(collector.traces.values.map(&:outline)).to eq(["audit\n"])
    expect(collector.metrics).to be_empty
  end
end
