# frozen_string_literal: true

RSpec.describe TaskerTelemetry::Endpoint::Negotiation do
  describe ".format" do
    {
      nil => "prometheus",
      "" => "prometheus",
      "*/*" => "prometheus",
      "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8" => "prometheus",
      "text/*" => "prometheus",
      "text/plain" => "prometheus",
      "text/plain;version=0.0.4" => "prometheus",
      "application/openmetrics-text" => "openmetrics",
      "APPLICATION/OpenMetrics-Text ; Version=1.0.0" => "openmetrics",
      'application/openmetrics-text; version="1.0.0"' => "openmetrics",
      "application/json" => "json",
      "application/json;q=0.4, text/plain;q=0.5" => "prometheus",
      "application/json;q=0.5, text/plain;q=0.4" => "json",
      # What Prometheus 2 and 3 send.
      "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75," \
      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1" => "openmetrics",
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;" \
      "version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2," \
      "*/*;q=0.1" => "openmetrics",
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7," \
      "text/plain;version=0.0.4;q=0.3" => "prometheus",
      # A version that nobody here writes.
      "application/openmetrics-text;version=0.0.1,text/plain;q=0.1" => "prometheus",
      # The closest range decides, not the highest quality.
      "text/plain;q=0, */*" => "openmetrics",
      "text/plain;q=0.1, text/*;q=0.9, application/json;q=0.2" => "json",
      # Nothing that is had, and nonsense: a page is a better answer than an error.
      "image/png" => "prometheus",
      ";;;,,,=;q=x" => "prometheus"
    }.each do |accept, format|
      it "is #{format} for #{accept.inspect}" do
        expect(described_class.format(accept)).to eq(format)
      end
    end
  end

  describe ".gzip?" do
    {
      nil => false, "" => false, "identity" => false, "deflate" => false, "gzip" => true, "GZIP" => true,
      "deflate, gzip;q=1.0, *;q=0.5" => true, "gzip;q=0" => false, "gzip;q=0, *" => false, "*" => true,
      "identity, *;q=0" => false, "x-gzip" => true, "gzip;q=0.001" => true, "gzip;q=nonsense" => false,
      "gzip;q=0.5, identity" => false, "gzip, identity" => true, "gzip;q=0.5, identity;q=0.4" => true
    }.each do |encodings, answer|
      it "is #{answer} for #{encodings.inspect}" do
        expect(described_class.gzip?(encodings)).to be(answer)
      end
    end
  end
end
