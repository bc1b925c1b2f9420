# frozen_string_literal: true

require "open3"
require "rbconfig"

# A fresh Ruby process, for what one process can show only once: loading, configuration, exit.
module RubyProcess
  ROOT = File.expand_path("../..", __dir__)

  Outcome = Struct.new(:out, :err, :status) do
    def success?
      status.success?
    end

    def to_s
      "#{status}\n#{err}#{out}"
    end
  end

  # Runs a command and gives its Outcome. It is killed with all of its children when `within` seconds are over.
  def run_command(*command, env: {}, chdir: ROOT, input: "", within: 60)
    Open3.popen3(env, *command, chdir:, pgroup: true) do |stdin, stdout, stderr, waiter|
      readers = [stdout, stderr].map { |io| Thread.new { io.read } }
      feed(stdin, input)
      unless waiter.join(within)
        Process.kill(:KILL, -waiter.pid)
        raise "#{command.join(" ")} did not end within #{within} s:\n#{readers.map(&:value).join}"
      end
      Outcome.new(*readers.map(&:value), waiter.value)
    end
  end

  # Runs Ruby code with the checkout's lib/ on the load path; `options` are Ruby's own, such as -W:no-deprecated.
  def run_ruby(code, *arguments, options: [], **settings)
    run_command(RbConfig.ruby, "-I#{ROOT}/lib", *options, "-e", code, *arguments, **settings)
  end

  private

  def feed(stdin, input)
    stdin.write(input)
  rescue Errno::EPIPE
    # The command ended without reading all of it; its Outcome says why.
  ensure
    stdin.close
  end
end
