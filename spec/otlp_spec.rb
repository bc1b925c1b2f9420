# frozen_string_literal: true

require "net/http"
require "zlib"

# The receivers that other specifications rely on, held against messages that are put together here by hand.
RSpec.describe "what receives OTLP" do
  # Protobuf from [number, value] pairs: a String is bytes or a message, an Integer a varint, a Float or [:fixed64, n]
  # eight bytes, [:fixed32, n] four.
  def message(*fields)
    fields.map { |number, value| field(number, value) }.join
  end

  def field(number, value)
    case value
    when Integer then varint(number << 3) + varint(value)
    when Float then varint((number << 3) | 1) + [value].pack("E")
    when String then varint((number << 3) | 2) + varint(value.bytesize) + value.b
    else fixed(number, *value)
    end
  end

  def fixed(number, kind, value)
    { fixed64: -> { varint((number << 3) | 1) + [value].pack("Q<") },
      fixed32: -> { varint((number << 3) | 5) + [value].pack("L<") } }.fetch(kind).call
  end

  def varint(number)
    bytes = []
    while number > 0x7f
      bytes << ((number & 0x7f) | 0x80)
      number >>= 7
    end
    (bytes << number).pack("C*")
  end

  def attribute(key, value)
    message([1, key], [2, message(value)])
  end

  def request(resource, *records)
    scope = message([1, "bench"], [2, "1"])
    message([1, message([1, message([1, resource])], [2, message([1, scope], *records.map { |one| [2, one] })])])
  end

  def trace(*ids)
    spans = ids.map { |id| message([1, "t" * 16], [2, id.to_s.rjust(8, "0")], [5, "s#{id}"]) }
    message([1, message([2, message(*spans.map { |span| [2, span] })])])
  end

  def post(port, path, body, headers = {})
    Net::HTTP.start("127.0.0.1", port, read_timeout: 5, max_retries: 0) do |http|
      http.post(path, body, { "Content-Type" => "application/x-protobuf" }.merge(headers))
    end
  end

  def hex(text)
    text.unpack1("H*")
  end

  let(:attributes) do
    [attribute("text", [1, "Grüße"]), attribute("yes", [2, 1]), attribute("less", [3, (1 << 64) - 5]),
     attribute("half", [4, 0.5]), attribute("list", [5, message([1, message([1, "a"])], [1, message([1, "b"])])]),
     attribute("map", [6, message([1, attribute("k", [3, 7])])])]
  end

  let(:meant) do
    { "text" => "Grüße", "yes" => true, "less" => -5, "half" => 0.5, "list" => %w[a b], "map" => { "k" => 7 } }
  end

  let(:span) do
    message([1, "trace-id-16bytes"], [2, "span-id8"], [3, "k=v"], [4, "parent-8"], [5, "charge"], [6, 3],
            [7, [:fixed64, 1_000_000_000]], [8, [:fixed64, 3_500_000_000]], *attributes.map { |one| [9, one] },
            [11, message([1, [:fixed64, 7]], [2, "exception"], [3, attribute("exception.type", [1, "KeyError"])])],
            [13, message([1, "linked-to-this-1"], [2, "linked-8"], [4, attribute("why", [1, "retry"])])],
            [15, message([2, "no such key"], [3, 2])], [16, [:fixed32, 1]])
  end

  describe Collector do
    around { |example| described_class.open { |collector| @collector = collector and example.run } }

    let(:resource) { attribute("service.name", [1, "shop"]) }

    it "has all of a span, through a real collector" do
      expect(post(@collector.http_port, "/v1/traces", request(resource, span)).code).to eq("200")
      found = @collector.await_spans(1).first
      expect(found).to have_attributes(
        trace_id: hex("trace-id-16bytes"), span_id: hex("span-id8"), parent_id: hex("parent-8"), name: "charge",
        kind: :client, start_ns: 1_000_000_000, end_ns: 3_500_000_000, duration: 2.5, attributes: meant,
        status: :error, status_message: "no such key", trace_state: "k=v", flags: 1,
        resource: { "service.name" => "shop" }, scope: { name: "bench", version: "1" }
      )
      expect(found.events).to contain_exactly(
        have_attributes(name: "exception", time_ns: 7, attributes: { "exception.type" => "KeyError" })
      )
      expect(found.links).to contain_exactly(
        have_attributes(trace_id: hex("linked-to-this-1"), span_id: hex("linked-8"), attributes: { "why" => "retry" })
      )
    end

    it "has all of sums, gauges and histograms, exemplars too" do
      exemplar = message([2, [:fixed64, 5]], [3, 0.3], [4, "span-id8"], [5, "trace-id-16bytes"],
                         [7, attribute("order", [1, "7"])])
      sum = message([1, "orders_total"], [2, "Orders"], [3, "1"],
                    [7, message([1, message([2, [:fixed64, 1]], [3, [:fixed64, 2]], [6, [:fixed64, 3]],
                                            [7, attribute("status", [1, "paid"])])], [2, 2], [3, 1])])
      gauge = message([1, "depth"], [5, message([1, message([3, [:fixed64, 2]], [4, 1.5])])])
      histogram = message([1, "latency"],
                          [9, message([1, message([2, [:fixed64, 1]], [3, [:fixed64, 2]], [4, [:fixed64, 3]], [5, 1.25],
                                                  [6, [1, 2, 0].pack("Q<3")], [7, [0.1, 1.0].pack("E2")],
                                                  [8, exemplar])], [2, 2])])
      body = request(resource, sum, gauge, histogram)
      expect(post(@collector.http_port, "/v1/metrics", body).code).to eq("200")

      expect(@collector.await_metric("orders_total")).to have_attributes(
        kind: :sum, temporality: :cumulative, monotonic: true, unit: "1", description: "Orders",
        resource: { "service.name" => "shop" },
        points: [have_attributes(start_ns: 1, time_ns: 2, value: 3, attributes: { "status" => "paid" })]
      )
      expect(@collector.await_metric("depth")).to have_attributes(kind: :gauge, points: [have_attributes(value: 1.5)])
      point = @collector.await_metric("latency").points.first
      expect(point).to have_attributes(start_ns: 1, count: 3, sum: 1.25,
                                       buckets: { 0.1 => 1, 1.0 => 2, Float::INFINITY => 0 })
      expect(point.exemplars).to contain_exactly(
        have_attributes(value: 0.3, time_ns: 5, trace_id: hex("trace-id-16bytes"), span_id: hex("span-id8"),
                        attributes: { "order" => "7" })
      )
    end

    it "loses nothing that it answered for when it is drained, and listens where it was before" do
      20.times { |id| post(@collector.http_port, "/v1/traces", trace(id)) }
      @collector.drain
      expect(@collector.spans.size).to eq(20)
      post(@collector.http_port, "/v1/traces", trace(19, 20))
      expect(@collector.await_spans(21).size).to eq(21)
      @collector.kill
      expect { post(@collector.http_port, "/v1/traces", trace(21)) }.to raise_error(Errno::ECONNREFUSED)
      @collector.start
      post(@collector.http_port, "/v1/traces", trace(22))
      expect(@collector.await_spans(22).map(&:name)).to include("s22")
      expect(@collector.received_spans.size).to eq(23)
    end
  end

  describe Otlp::Trace do
    def span(id, parent: nil)
      Otlp::Span.new(trace_id: "t", span_id: id, parent_id: parent, name: id, start_ns: id.ord)
    end

    it "is a tree when every span is below the one root" do
      trace = described_class.of([span("c", parent: "a"), span("a"), span("b", parent: "a"),
                                  span("d", parent: "c")]).fetch("t")
      expect(trace).to be_tree
      expect(trace.outline).to eq("a\n  b\n  c\n    d\n")
    end

    it "tells whose parent is missing, and a second root" do
      orphaned = described_class.new([span("a"), span("d", parent: "c")])
      expect(orphaned.orphans.map(&:name)).to eq(%w[d])
      expect(orphaned).not_to be_tree
      expect(described_class.new([span("a"), span("b")])).not_to be_tree
    end

    it "is no tree when spans are below each other" do
      expect(described_class.new([span("a"), span("b", parent: "c"), span("c", parent: "b")])).not_to be_tree
    end
  end

  describe FaultyCollector do
    around { |example| described_class.open { |collector| @collector = collector and example.run } }

    def send_trace(*ids)
      post(@collector.port, "/v1/traces", trace(*ids))
    end

    it "takes what is packed and what is not, and tells one span that came twice" do
      post(@collector.port, "/v1/traces", Zlib.gzip(trace(1, 2)), "Content-Encoding" => "gzip", "X-Key" => "secret")
      send_trace(2, 3)
      expect(@collector.spans.map(&:name)).to eq(%w[s1 s2 s3])
      expect(@collector.received_spans.size).to eq(4)
      expect(@collector.requests.map(&:packed?)).to eq([true, false])
      expect(@collector.requests.first.headers).to include("x-key" => "secret")
    end

    it "answers with any status, and when to come again" do
      @collector.status(code: 429, retry_after: 2)
      expect(send_trace(1)).to have_attributes(code: "429", to_hash: include("retry-after" => ["2"]))
      @collector.status(code: 400)
      expect(send_trace(1).code).to eq("400")
      @collector.ok(rejected: 2)
      expect(send_trace(2).body.bytes).to eq([0x0a, 2, 8, 2])
      expect(@collector.requests.map(&:status)).to eq([429, 400, 200])
      expect(@collector.spans.map(&:name)).to eq(%w[s2])
    end

    it "cuts a connection within a body and within an answer" do
      @collector.cut
      expect { send_trace(1) }.to raise_error(be_a(SystemCallError).or(be_a(EOFError)))
      expect(@collector.requests).to be_empty
      @collector.cut_answer
      expect { send_trace(2) }.to raise_error(be_a(EOFError).or(be_a(Net::HTTPBadResponse)))
      expect(@collector.requests.map(&:status)).to eq([nil])
    end

    it "takes its time, or never answers" do
      @collector.slow(seconds: 0.2)
      started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      expect(send_trace(1).code).to eq("200")
      expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).to be >= 0.2
      @collector.hang
      Net::HTTP.start("127.0.0.1", @collector.port, read_timeout: 0.2, max_retries: 0) do |http|
        expect { http.post("/v1/traces", trace(2)) }.to raise_error(Net::ReadTimeout)
      end
      expect(@collector.requests.map(&:status)).to eq([200, nil])
    end

    it "closes its port with all connections, and opens it again, by word or by kill -9" do
      Net::HTTP.start("127.0.0.1", @collector.port, max_retries: 0) do |http|
        http.post("/v1/traces", trace(1))
        @collector.refuse
        expect { http.post("/v1/traces", trace(2)) }.to raise_error(be_a(SystemCallError).or(be_a(EOFError)))
      end
      expect { send_trace(2) }.to raise_error(Errno::ECONNREFUSED)
      @collector.ok
      send_trace(3)
      @collector.kill
      expect { send_trace(4) }.to raise_error(Errno::ECONNREFUSED)
      @collector.start
      send_trace(5)
      expect(@collector.spans.map(&:name)).to eq(%w[s1 s3 s5])
    end

    it "speaks TLS by a certificate that is to be trusted" do
      described_class.open(tls: true) do |collector|
        http = Net::HTTP.new("127.0.0.1", collector.port)
        http.use_ssl = true
        expect { http.post("/v1/traces", trace(1)) }.to raise_error(OpenSSL::SSL::SSLError)
        http.ca_file = collector.ca_file
        expect(http.post("/v1/traces", trace(1)).code).to eq("200")
        expect(collector.spans.size).to eq(1)
      end
    end
  end
end
