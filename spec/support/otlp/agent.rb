# frozen_string_literal: true

require "socket"

module Otlp
  # rotel-agent, a real collector: its command line, and where to send. Who starts it keeps the process.
  class Agent
    TMP = File.expand_path("../../../tmp", __dir__)

    attr_reader :http_port, :grpc_port

    # As bin/setup gets it.
    #
    # @return [String, nil]
    def self.binary
      Dir["#{TMP}/rotel/lib/python3*/site-packages/rotel/rotel-agent"].first
    end

    # A port of which nobody but those who ask for it makes use: not one of those that the kernel gives to whoever
    # connects, which matters while it is closed.
    def self.free_port
      loop do
        port = rand(15_000..32_000)
        TCPServer.new("127.0.0.1", port).close
        return port
      rescue Errno::EADDRINUSE
        next
      end
    end

    # @param directory [String] for its files
    # @param sink [Integer, nil] the port on which a Server takes what came in; without, it is dropped
    def initialize(directory, sink: nil)
      @directory = directory
      @sink = sink
      @http_port = Agent.free_port
      @grpc_port = Agent.free_port
    end

    # @return [Array<String>]
    def command
      binary = Agent.binary or raise "there is no rotel-agent; bin/setup gets it"
      [binary, "start", "--otlp-http-endpoint", "127.0.0.1:#{http_port}", "--otlp-grpc-endpoint",
       "127.0.0.1:#{grpc_port}", "--batch-timeout", "20ms", "--pid-file", "#{@directory}/rotel.pid",
       "--log-file", "#{@directory}/rotel.log", *exporter]
    end

    # @return [Boolean] whether both of its ports answer
    def up?
      [http_port, grpc_port].each { |port| TCPSocket.new("127.0.0.1", port).close }
      true
    rescue SystemCallError
      false
    end

    # Base URLs, as OTEL_EXPORTER_OTLP_ENDPOINT has them.
    def http_endpoint
      "http://127.0.0.1:#{http_port}"
    end

    def grpc_endpoint
      "http://127.0.0.1:#{grpc_port}"
    end

    private

    def exporter
      return %w[--exporter blackhole] unless @sink

      %W[--exporter otlp --otlp-exporter-protocol http --otlp-exporter-endpoint http://127.0.0.1:#{@sink}
         --otlp-exporter-retry-initial-backoff 100ms]
    end
  end
end
