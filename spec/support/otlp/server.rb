# frozen_string_literal: true

# A receiver of OTLP over HTTP that records what comes and misbehaves on demand, as a process of its own:
#
#   ruby server.rb DIRECTORY PORT              records into the directory until it is ended, or its parent has
#   ruby server.rb DIRECTORY PORT --commands   the same, and behaves as each line of standard input says in JSON, such
#                                              as ["slow", {"seconds": 3}]; answers with a line when it is so
#
# Where the directory has a certificate, cert.pem with key.pem, it speaks TLS. It says "listening" once it is.

require "json"
require "openssl"
require "socket"

require_relative "recording"

module Otlp
  # One connection: HTTP/1.1, kept open. Bodies have a Content-Length or come in chunks.
  class Connection
    def initialize(socket, server)
      @socket = socket
      @server = server
    end

    def serve
      @socket.accept if @socket.is_a?(OpenSSL::SSL::SSLSocket)
      loop { break unless serve_request }
    rescue SystemCallError, IOError, OpenSSL::SSL::SSLError
      nil # the other side has gone, or this one has reset the connection
    ensure
      @socket.close
    end

    # Ends it as a process does that is killed: what was sent may be lost, and the other side learns of it at once.
    def reset
      @socket.to_io.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
      @socket.to_io.close
    end

    private

    # @return [Boolean] whether the connection stays
    def serve_request
      start = @socket.gets or return false
      headers = read_headers
      # What counts is how it is when the request comes, not when the connection was made.
      name, settings = @server.behaviour
      return cut(headers) if name == "cut"

      @socket.write("HTTP/1.1 100 Continue\r\n\r\n") if headers["expect"] == "100-continue"
      request = { path: start.split[1], headers: headers, body: read_body(headers) }
      public_send(name, request, **settings.transform_keys(&:to_sym))
    end

    def read_headers
      headers = {}
      until (line = @socket.gets.to_s.chomp).empty?
        name, value = line.split(":", 2)
        headers[name.downcase] = value.strip
      end
      headers
    end

    def read_body(headers)
      return read(headers["content-length"].to_i) unless headers["transfer-encoding"] == "chunked"

      body = +""
      loop do
        piece = read(@socket.gets.to_s.to_i(16))
        @socket.gets
        return body if piece.empty?

        body << piece
      end
    end

    def read(length)
      bytes = @socket.read(length).to_s
      bytes.bytesize == length ? bytes : raise(EOFError, "#{bytes.bytesize} of #{length} bytes")
    end

    def cut(headers)
      read(headers["content-length"].to_i / 2)
      reset
      false
    end

    # Recorded first: who has the answer finds it recorded.
    def answer(request, code, headers = {}, body = "")
      @server.record(**request, status: code)
      lines = headers.compact.map { |name, value| "#{name}: #{value}\r\n" }.join
      @socket.write("HTTP/1.1 #{code} #{code == 200 ? "OK" : "No"}\r\nContent-Type: application/x-protobuf\r\n" \
                    "#{lines}Content-Length: #{body.bytesize}\r\n\r\n#{body}")
      true
    end

    # Whether the other side closes the connection before the time is up.
    def gone_within?(seconds)
      !@socket.to_io.wait_readable(seconds).nil?
    end

    # The behaviours: each takes a whole request and says whether the connection stays.
    module Behaviours
      # `rejected`: of how many spans, below 128, the answer says that they were not taken.
      def ok(request, rejected: 0)
        answer(request, 200, {}, rejected.zero? ? "" : "\x0a\x02\x08#{rejected.chr}")
      end

      # `retry_after`: seconds, or a date as HTTP has it.
      def status(request, code:, retry_after: nil)
        answer(request, code, { "Retry-After" => retry_after })
      end

      def slow(request, seconds:)
        return answer(request, 200) unless gone_within?(seconds)

        @server.record(**request, status: nil)
        false
      end

      def hang(request)
        @server.record(**request, status: nil)
        gone_within?(nil)
        false
      end

      def cut_answer(request)
        @server.record(**request, status: nil)
        @socket.write("HTTP/1.1 200 OK\r\nContent-Le")
        false
      end

      # The port was closed while the request was read.
      def refuse(_request)
        false
      end
    end
    include Behaviours
  end

  # The port and who is connected to it.
  class Server
    # "cut" reads half of a body; the others come to be when there is a whole request.
    BEHAVIOURS = ["cut", *Connection::Behaviours.instance_methods.map(&:to_s)].freeze

    attr_reader :behaviour

    def initialize(directory, port)
      @recording = Recording.new(directory)
      @port = port
      @tls = tls(directory)
      # What a process before this one has recorded stays.
      @numbers = @recording.requests.size
      @lock = Mutex.new
      @connections = []
      behave("ok")
    end

    # Opens or closes the port where that is what the behaviour takes.
    #
    # @raise [ArgumentError] when there is no such behaviour
    def behave(name, settings = {})
      raise ArgumentError, "#{name} is none of #{BEHAVIOURS.join(", ")}" unless BEHAVIOURS.include?(name)

      @behaviour = [name, settings]
      name == "refuse" ? close : open
    end

    def record(**request)
      @lock.synchronize { @recording.write(@numbers += 1, **request) }
    end

    private

    def tls(directory)
      certificate = File.join(directory, "cert.pem")
      return unless File.exist?(certificate)

      OpenSSL::SSL::SSLContext.new.tap do |context|
        context.add_certificate(OpenSSL::X509::Certificate.new(File.read(certificate)),
                                OpenSSL::PKey.read(File.read(File.join(directory, "key.pem"))))
      end
    end

    def open
      return if @listener

      @listener = TCPServer.new("127.0.0.1", @port)
      @acceptor = Thread.new(@listener) { |listener| accept(listener) }
    end

    def close
      return unless @listener

      @acceptor.kill.join
      @listener.close
      @listener = nil
      @lock.synchronize { @connections.dup }.each do |connection|
        connection.reset
      rescue IOError
        nil # it has closed itself
      end
    end

    def accept(listener)
      loop do
        socket = listener.accept
        # Greeted in the connection's thread, since that waits for the other side.
        socket = OpenSSL::SSL::SSLSocket.new(socket, @tls).tap { |tls| tls.sync_close = true } if @tls
        connection = Connection.new(socket, self)
        @lock.synchronize { @connections << connection }
        Thread.new do
          connection.serve
        ensure
          @lock.synchronize { @connections.delete(connection) }
        end
      end
    end
  end
end

if $PROGRAM_NAME == __FILE__
  parent = Process.ppid
  $stdout.sync = true
  server = Otlp::Server.new(ARGV.fetch(0), Integer(ARGV.fetch(1)))
  puts "listening"
  source = ARGV[2] == "--commands" ? $stdin : nil
  trap(:TERM) { exit!(0) }
  while Process.ppid == parent
    next unless IO.select([source].compact, nil, nil, 1)

    line = source.gets or break
    begin
      server.behave(*JSON.parse(line))
      puts "so it is"
    rescue ArgumentError, SystemCallError => e
      puts e.message
    end
  end
end
