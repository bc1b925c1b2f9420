# frozen_string_literal: true

require "json"
require "rbconfig"
require "tmpdir"
require_relative "deadline"

# A Ruby process that makes spans and runs what it is told, piece by piece, with `within` seconds for each.
#
#   TracedProcess.open(collector.http_endpoint) do |process|
#     process.run("record 'a', 'b'")                      # two spans
#     process.run("TaskerTelemetry.flush(timeout: 1)")    # => true; what can be JSON comes back
#     process.finish                                      # ends as scripts do, and says how
#   end
#
# Ruby's `warn` and `puts` in it are in `output`.
class TracedProcess
  include Deadline

  # What went wrong in a piece of code.
  class Failed < StandardError; end

  # How a process ended: its Process::Status, and the seconds from its last line of code.
  End = Struct.new(:status, :seconds)

  SCRIPT = <<~'RUBY'
    def clock = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    ANSWERS = IO.for_fd(3)
    ANSWERS.sync = true
    # Registered first, so that it runs last.
    main = Process.pid
    at_exit { ANSWERS.puts(JSON.generate([clock - $finished])) if Process.pid == main && $finished }
    require "json"
    require "tasker_telemetry"
    TaskerTelemetry.configure do |config|
      config.service_name = "shop"
      config.environment = "test"
      config.metrics.arena = ENV.fetch("ARENA")
      config.traces.enabled = true
      config.logger = Logger.new($stderr)
    end
    def record(*names) = names.flatten.each { |name| TaskerTelemetry.span(name) { nil } }
    # The background threads' ids. Of a name the kernel keeps 15 bytes.
    def background
      threads = Dir["/proc/self/task/*"].select { |task| File.read("#{task}/comm").start_with?("tasker_telemetr") }
      threads.map { |task| File.basename(task).to_i }
    end
    # What a piece of code assigns is there for the next.
    def answer(code)
      [TOPLEVEL_BINDING.eval(code, "the spec's code")]
    rescue StandardError => e
      [nil, e.full_message(highlight: false)]
    end
    while (line = $stdin.gets)
      ANSWERS.puts(JSON.generate(answer(JSON.parse(line).first)))
    end
    $finished = clock
    exit($status || 0)
  RUBY

  attr_reader :pid, :arena

  # @yieldparam process [TracedProcess]
  def self.open(endpoint, **settings)
    Dir.mktmpdir("tasker_telemetry-traced-") do |directory|
      process = new(endpoint, directory, **settings)
      yield process
    ensure
      process&.kill
    end
  end

  # @param endpoint [String, nil] for OTEL_EXPORTER_OTLP_ENDPOINT
  # @param env [Hash{String => String}] what else is in its environment
  def initialize(endpoint, directory, env: {})
    @directory = directory
    @arena = "#{directory}/arena"
    @env = { "RACK_ENV" => "test", "ARENA" => @arena, "OTEL_EXPORTER_OTLP_ENDPOINT" => endpoint,
             "OTEL_BSP_SCHEDULE_DELAY" => "20", "RUBYLIB" => File.join(RubyProcess::ROOT, "lib") }.merge(env)
    start
  end

  # Runs code in it, at the top level.
  #
  # @return [Object] its value, by way of JSON
  def run(code, within: 60)
    @commands.puts(JSON.generate([code]))
    value, problem = answer(within)
    raise Failed, problem if problem

    value
  end

  # Ends it in order.
  #
  # @return [End]
  def finish(within: 60)
    @commands.close
    seconds = answer(within)&.first
    status = nil
    eventually(within:) { _, status = Process.wait2(@pid, Process::WNOHANG) }
    @pid = nil
    End.new(status, seconds)
  end

  # Ends it and what it has forked at once.
  def kill
    return unless @pid

    Process.kill(:KILL, -@pid)
    Process.wait(@pid)
    @pid = nil
  end

  # @return [String] all that it wrote
  def output
    File.read("#{@directory}/output")
  end

  # What the arena counts of spans, by "exported" and by the reasons of drops; also when the process has ended.
  #
  # @return [Hash{String => Integer}] without zeros
  def spans_counted
    page = @pid ? run("TaskerTelemetry.export(:prometheus)") : page_of_another
    drops = page.scan(/^tasker_telemetry_dropped_spans_total\{reason="(\w+)"\} (\d+)$/).to_h
    exported = page[/^tasker_telemetry_exported_spans_total (\d+)$/, 1] || "0"
    { "exported" => exported, **drops }.transform_values(&:to_i).reject { |_, count| count.zero? }
  end

  private

  def start
    theirs_to_read, @commands = IO.pipe
    @answers, theirs_to_write = IO.pipe
    @pid = spawn(@env, RbConfig.ruby, "-e", SCRIPT, in: theirs_to_read, 3 => theirs_to_write, pgroup: true,
                                                    %i[out err] => ["#{@directory}/output", "a"])
    [theirs_to_read, theirs_to_write].each(&:close)
    @commands.sync = true
  end

  def answer(within)
    @answers.wait_readable(within) or raise "no answer within #{within} s: #{output}"
    line = @answers.gets
    line && JSON.parse(line)
  end

  def page_of_another
    TracedProcess.new(nil, @directory, env: { "OTEL_SDK_DISABLED" => "true" }).then do |reader|
      reader.run("TaskerTelemetry.export(:prometheus)")
    ensure
      reader.kill
    end
  end
end
