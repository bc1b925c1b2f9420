# frozen_string_literal: true

require "fileutils"
require "tmpdir"

require_relative "../spec/support/otlp/agent"

module Bench
  # A collector that takes everything and drops it, as a process of its own.
  module Sink
    SECONDS_TO_START = 20

    # Yields its base URL for OTLP over HTTP.
    def self.open
      directory = Dir.mktmpdir("tasker_telemetry-bench-")
      agent = Otlp::Agent.new(directory)
      log = File.join(directory, "rotel.out")
      pid = Process.spawn(*agent.command, in: File::NULL, out: log, err: %i[child out])
      wait(agent, log)
      yield agent.http_endpoint
    ensure
      if pid
        Process.kill(:KILL, pid)
        Process.wait(pid)
      end
      FileUtils.rm_rf(directory)
    end

    def self.wait(agent, log)
      deadline = Bench.now + SECONDS_TO_START
      until agent.up?
        raise "the collector does not listen: #{File.read(log)}" if Bench.now > deadline

        sleep 0.02
      end
    end
    private_class_method :wait
  end
end
