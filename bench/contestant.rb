# frozen_string_literal: true

require "fileutils"
require "json"
require "rbconfig"
require "tmpdir"

module Bench
  # A subject in a process of its own, with a directory of its own in shared memory, for as long as a block lasts.
  class Contestant
    WORKER = File.expand_path("worker.rb", __dir__)
    LIB = File.expand_path("../lib", __dir__)
    MEMORY = "/dev/shm"

    attr_reader :name, :title, :absent

    # Yields those of the subjects that are installed, and those that are not.
    def self.gather(names)
      contestants = names.map { |name| new(name) }
      missing, present = contestants.partition(&:absent)
      yield present, missing
    ensure
      contestants&.each(&:close)
    end

    def initialize(name)
      @name = name
      @directory = Dir.mktmpdir("tasker_telemetry-bench-", File.directory?(MEMORY) ? MEMORY : nil)
      # Everything as in production, whatever the tests that run this have set.
      clean = { "RACK_ENV" => nil, "RAILS_ENV" => nil, "prometheus_multiproc_dir" => nil }
      @worker = IO.popen([clean, RbConfig.ruby, "-I#{LIB}", WORKER, name, @directory], "r+")
      @title, @absent = answer.values_at("title", "absent")
    end

    def ask(*question)
      @worker.puts(JSON.generate(question))
      answer
    end

    def close
      @worker.close
      FileUtils.remove_entry(@directory)
    end

    private

    def answer
      line = @worker.gets or raise "the process of #{@name} ended; its last words are above"
      JSON.parse(line)
    end
  end
end
