# frozen_string_literal: true

require "base64"
require "json"
require "zlib"

require_relative "telemetry"

module Otlp
  # Requests in a directory, a file each, written by one process and read by another.
  class Recording
    # `status` is what was answered, or nil when the answer did not go out; `body` is unpacked.
    Request = Struct.new(:path, :headers, :body, :status, :time, keyword_init: true) do
      def accepted?
        status == 200
      end

      def packed?
        headers["content-encoding"] == "gzip"
      end

      def spans
        @spans ||= path.end_with?("/traces") ? Telemetry.spans(body) : []
      end

      def metrics
        @metrics ||= path.end_with?("/metrics") ? Telemetry.metrics(body) : []
      end
    end

    def initialize(directory)
      @directory = directory
      @requests = {}
    end

    # The number keeps the order, and renaming keeps half a file from being read.
    def write(number, path:, headers:, body:, status:)
      line = JSON.generate(path: path, headers: headers, body: Base64.strict_encode64(body), status: status,
                           time: Time.now.to_f)
      place = File.join(@directory, format("%08d.json", number))
      File.write("#{place}.part", line)
      File.rename("#{place}.part", place)
    end

    # @return [Array<Request>] all that came, whatever was answered
    def requests
      Dir[File.join(@directory, "*.json")].map { |place| @requests[place] ||= read(place) }
    end

    # @return [Array<Request>] those that were answered with 200
    def accepted
      requests.select(&:accepted?)
    end

    # What was accepted, each span as often as it came.
    #
    # @return [Array<Span>]
    def received_spans
      accepted.flat_map(&:spans)
    end

    # What was accepted, each span once.
    #
    # @return [Array<Span>]
    def spans
      received_spans.uniq(&:identity)
    end

    # What was accepted, in the order in which it came, so that the last of a name is the newest.
    #
    # @return [Array<Metric>]
    def metrics
      accepted.flat_map(&:metrics)
    end

    private

    def read(place)
      found = JSON.parse(File.read(place))
      body = Base64.strict_decode64(found["body"])
      body = Zlib.gunzip(body) if found["headers"]["content-encoding"] == "gzip"
      Request.new(path: found["path"], headers: found["headers"], body: body, status: found["status"],
                  time: found["time"])
    end
  end
end
