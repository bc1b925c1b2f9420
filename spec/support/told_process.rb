# frozen_string_literal: true

require "json"
require "rbconfig"
require "socket"
require "tmpdir"

require_relative "deadline"

# Ruby processes that run what they are told, so that an example can have several of them do one thing after the other.
#
#   ToldProcess.room do |room|
#     process = room.spawn
#     process.run("1 + 1")      # => 2, by way of JSON
#     child = process.fork
#     process.end               # as a program ends that has come to its end; or kill, stop, resume
#   end
class ToldProcess
  include Deadline

  PROGRAM = File.expand_path("../fixtures/told.rb", __dir__)
  LIB = File.expand_path("../../lib", __dir__)

  # Where they connect to; whoever is left is killed in the end.
  class Room
    # @yieldparam room [Room]
    def self.open
      Dir.mktmpdir do |directory|
        room = new(directory)
        yield room
      ensure
        room&.close
      end
    end

    attr_reader :directory

    def initialize(directory)
      @directory = directory
      @path = "#{directory}/told"
      @server = UNIXServer.new(@path)
      @processes = []
    end

    # @param setup [String] what it runs first
    def spawn(setup = nil, env: {})
      pid = Process.spawn({ "RACK_ENV" => nil, "RAILS_ENV" => nil, **env }, RbConfig.ruby, "-I#{LIB}", PROGRAM, @path,
                          in: File::NULL)
      connected(pid).tap { |process| process.run("#{setup}\nnil") if setup }
    end

    # @api private
    def fork_of(parent)
      connected(parent.run("Told.fork_to(#{@path.dump})"))
    end

    def close
      @processes.each(&:kill)
      @server.close
    end

    private

    def connected(pid)
      raise "process #{pid} does not come" unless @server.wait_readable(30)

      ToldProcess.new(self, pid, @server.accept).tap { |process| @processes << process }
    end
  end

  attr_reader :pid

  def self.room(&)
    Room.open(&)
  end

  def initialize(room, pid, socket)
    @room = room
    @pid = pid
    @socket = socket
  end

  # Runs code in it and gives what that gave.
  def run(code, within: 30)
    @socket.puts(JSON.generate([code]))
    raise "process #{pid} does not answer to #{code}" unless @socket.wait_readable(within)

    value, failure = JSON.parse(@socket.gets || raise("process #{pid} has ended at #{code}"))
    raise failure if failure

    value
  end

  def fork
    @room.fork_of(self)
  end

  # Becomes a daemon; from then on this is it.
  def daemonize
    @pid = run("Process.daemon(true, true); Process.pid")
  end

  def stop
    Process.kill(:STOP, pid)
  end

  def resume
    Process.kill(:CONT, pid)
  end

  # Lets it end by itself, and gives the seconds that it took.
  def end(within: 30)
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    @socket.close
    eventually(within:) { gone? }
    Process.clock_gettime(Process::CLOCK_MONOTONIC) - started
  end

  def kill
    return if gone?

    Process.kill(:KILL, pid)
    eventually { gone? }
  end

  private

  def gone?
    @gone ||= begin
      !Process.wait(pid, Process::WNOHANG).nil?
    rescue Errno::ECHILD
      # Another's child: nobody, or one that its parent has not heard of yet.
      File.read("/proc/#{pid}/stat")[/\) (\S)/, 1] == "Z"
    end
  rescue Errno::ENOENT, Errno::ESRCH
    @gone = true
  end
end
