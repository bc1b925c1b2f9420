# frozen_string_literal: true

require_relative "../../spec/support/otlp/agent"
require_relative "../../spec/support/otlp/recording"
require_relative "../../spec/support/otlp/trace"

module Demo
  # A real OpenTelemetry collector, rotel-agent, that hands on what it took to a server which records it.
  class Collector
    SERVER = File.expand_path("../../spec/support/otlp/server.rb", __dir__)

    def initialize(directory, children)
      @directory = File.join(directory, "otlp")
      Dir.mkdir(@directory)
      @children = children
      @sink = Otlp::Agent.free_port
      @agent = Otlp::Agent.new(@directory, sink: @sink)
      @recording = Otlp::Recording.new(@directory)
    end

    def start
      @children.start("otlp", "ruby", SERVER, @directory, @sink.to_s)
      @child = @children.start("collector", *@agent.command)
      Wait.until("the collector to listen", 30, log: @child.log) do
        @children.check
        @agent.up?
      end
    end

    # @return [Hash{String=>String}] what has a process send here by HTTP
    def over_http
      { "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" => "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => "#{@agent.http_endpoint}/v1/traces" }
    end

    # @return [Hash{String=>String}] what has a process send here by gRPC
    def over_grpc
      { "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" => "grpc",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => @agent.grpc_endpoint }
    end

    # Ends the collector, which hands on all that it had answered for.
    def finish
      @children.stop(@child)
    end

    # @return [Array<Otlp::Span>] each once
    def spans
      @recording.spans
    end

    # @return [Hash{String=>Otlp::Trace}] by trace id
    def traces
      Otlp::Trace.of(spans)
    end

    # @return [Array<Otlp::Metric>] in the order in which they came
    def metrics
      @recording.metrics
    end
  end
end
