# frozen_string_literal: true

require "fileutils"
require "socket"
require "tmpdir"
require_relative "deadline"

# A Redis of one example's own, which keeps nothing on disk.
class RedisServer
  include Deadline

  attr_reader :port

  def self.open
    Dir.mktmpdir do |directory|
      server = new(directory)
      server.start
      yield server
    ensure
      server&.stop
    end
  end

  def initialize(directory)
    @directory = directory
    # Nobody else is given it for the moment.
    @port = TCPServer.open("127.0.0.1", 0) { |socket| socket.addr[1] }
  end

  def url
    "redis://127.0.0.1:#{port}/0"
  end

  def start
    @pid = spawn("redis-server", "--port", port.to_s, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                 "--dir", @directory, %i[out err] => ["#{@directory}/redis.log", "a"])
    eventually(within: 30) { connects? }
  end

  def stop
    return unless @pid

    Process.kill(:KILL, @pid)
    Process.wait(@pid)
    @pid = nil
  end

  private

  def connects?
    TCPSocket.open("127.0.0.1", port) { |socket| socket.write("PING\r\n") && socket.gets == "+PONG\r\n" }
  rescue SystemCallError
    false
  end
end
