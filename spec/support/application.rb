# frozen_string_literal: true

require "fileutils"
require "net/http"
require "rbconfig"
require "tmpdir"
require_relative "deadline"
require_relative "ruby_process"

# A real Rails application in a directory of its own, and what it takes to run it.
class Application
  include Deadline
  include RubyProcess

  FIXTURE = File.expand_path("../fixtures/application", __dir__)
  # What Puma needs to end when it is told to.
  PUMA_STOP = File.expand_path("../../demo/app/config/puma_stop.rb", __dir__)

  attr_reader :directory, :arena, :port

  def self.open(**settings)
    Dir.mktmpdir do |directory|
      application = new(directory, **settings)
      yield application
    ensure
      application&.stop
    end
  end

  def initialize(directory, env: {})
    @directory = directory
    @arena = "#{directory}/arena"
    @env = { "RAILS_ENV" => "production", "RACK_ENV" => nil, "ARENA" => arena,
             "RUBYLIB" => [File.join(ROOT, "lib"), ENV.fetch("RUBYLIB", nil)].compact.join(":") }.merge(env)
    FileUtils.cp_r("#{FIXTURE}/.", directory)
  end

  # Runs a command in the application and gives its outcome.
  def run(*command, env: {}, **settings)
    run_command(*command, env: @env.merge(env), chdir: directory, **settings)
  end

  # Runs code in a process that has booted the application.
  def boot(code, **settings)
    run(RbConfig.ruby, "-e", "require './config/environment'\n#{code}", **settings)
  end

  # Starts Puma, in cluster mode, on a port that is free; `puma` is what its configuration says beyond that.
  def serve(workers: 3, preload: true, puma: "")
    File.write("#{directory}/puma.rb", "require #{PUMA_STOP.dump}\n#{puma}")
    options = ["-w", workers.to_s, "-t", "1:4", "-b", "tcp://127.0.0.1:0", "-C", "puma.rb", *("--preload" if preload)]
    @log = "#{directory}/puma.log"
    @server = spawn(@env, RbConfig.ruby, "-S", "puma", *options, "config.ru", chdir: directory,
                                                                              %i[out err] => [@log, "w"], pgroup: true)
    @port = eventually(within: 60) { log[/Listening on http:\S+:(\d+)/, 1] }.to_i
    eventually(within: 60) { log.scan(/Worker \d+ \(PID: \d+\) booted/).size == workers }
  end

  def log
    File.read(@log)
  end

  # Has Puma put one worker after the other in place of the old ones, which load what stands in the directory by then.
  def restart_in_phases
    Process.kill(:USR1, @server)
  end

  # One request on a connection of its own.
  def request(method, path, headers = {}, body = nil)
    Net::HTTP.start("127.0.0.1", port, read_timeout: 30) do |http|
      http.send_request(method, path, body, headers)
    end
  end

  def stop
    return unless @server

    Process.kill(:TERM, @server)
    eventually(within: 20) { Process.wait(@server, Process::WNOHANG) }
  rescue RSpec::Expectations::ExpectationNotMetError
    Process.kill(:KILL, -@server)
    Process.wait(@server)
  ensure
    @server = nil
  end
end
