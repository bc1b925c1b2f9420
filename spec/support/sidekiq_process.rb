# frozen_string_literal: true

require "rbconfig"
require_relative "deadline"
require_relative "ruby_process"

# A real Sidekiq, which performs the jobs of an application or a file until it is stopped.
class SidekiqProcess
  include Deadline

  def initialize(directory, required, env:, queues: %w[default])
    @directory = directory
    @log = "#{directory}/sidekiq.log"
    options = queues.flat_map { |queue| ["-q", queue] }
    @pid = spawn({ "RUBYLIB" => File.join(RubyProcess::ROOT, "lib") }.merge(env),
                 RbConfig.ruby, "-S", "sidekiq", "-r", required, "-c", "3", "-t", "3", *options,
                 chdir: directory, %i[out err] => [@log, "a"])
  end

  def log
    File.read(@log)
  end

  def stop(signal = :TERM)
    return unless @pid

    Process.kill(signal, @pid)
    eventually(within: 30) { Process.wait(@pid, Process::WNOHANG) }
  rescue RSpec::Expectations::ExpectationNotMetError
    Process.kill(:KILL, @pid)
    Process.wait(@pid)
  ensure
    @pid = nil
  end
end
