# frozen_string_literal: true

require "net/http"
require "socket"

module Demo
  # Requests to this machine, each on a connection of its own.
  module Http
    # @return [Net::HTTPResponse, nil] nil when nobody listens
    def self.get(port, path, headers = {})
      Net::HTTP.start("127.0.0.1", port, nil, open_timeout: 5, read_timeout: 20) { |http| http.get(path, headers) }
    rescue SystemCallError, EOFError, Net::OpenTimeout, Net::ReadTimeout
      nil
    end

    def self.free_port
      server = TCPServer.new("127.0.0.1", 0)
      server.addr[1]
    ensure
      server&.close
    end
  end
end
