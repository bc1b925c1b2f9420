# frozen_string_literal: true

require_relative "collector"
require_relative "configured"

# Spans of one example, at a real collector.
module Traced
  # What a process of its own begins with: traces are on, and go where the environment says.
  PREAMBLE = <<~'RUBY'
    require "json"
    require "tasker_telemetry"
    TaskerTelemetry.configure do |config|
      config.metrics.arena = ENV["ARENA"] ? ENV["ARENA"] : :memory
      config.traces.enabled = true
      config.logger = Logger.new($stderr)
    end
  RUBY

  # Has the spans of this process go there; the block may configure more.
  def trace_to(collector)
    configure do |config|
      config.traces.enabled = true
      config.traces.endpoint = collector.http_endpoint
      yield config if block_given?
    end
  end

  # Sends what there is, and gives all that the collector has when there are as many, and no more.
  #
  # @return [Array<Otlp::Span>] in the order of their ends
  def sent(count, collector = @collector)
    expect(TaskerTelemetry.flush(timeout: 10)).to be(true)
    received(count, collector)
  end

  def received(count, collector = @collector)
    collector.await_spans(count)
    collector.drain
    expect(collector.received_spans.map(&:name)).to have_attributes(size: count)
    expect(collector.spans.size).to eq(count)
    collector.spans.sort_by(&:end_ns)
  end

  # Runs code in a process that sends its spans to the collector when it ends.
  def run_traced(code, *arguments, env: {}, **settings)
    run_ruby("#{PREAMBLE}\n#{code}", *arguments, env: traced_environment.merge(env), **settings).tap do |outcome|
      expect(outcome).to be_success, outcome.to_s
    end
  end

  # As `run_traced`, for a process that goes on beside this one.
  def start_traced(code, env: {})
    IO.popen([{ "RUBYLIB" => "#{RubyProcess::ROOT}/lib" }.merge(traced_environment, env), RbConfig.ruby, "-e",
              "$stdout.sync = true\n#{PREAMBLE}\n#{code}"], "r+")
  end

  def traced_environment
    { "OTEL_EXPORTER_OTLP_ENDPOINT" => @collector.http_endpoint, "ARENA" => @arena }
  end
end

RSpec.configure do |config|
  config.include Traced

  # A collector of the example's own is @collector, and @arena a path that processes may count into.
  config.around(:each, :collector) do |example|
    Dir.mktmpdir do |directory|
      @arena = "#{directory}/arena"
      Collector.open do |collector|
        @collector = collector
        example.run
        # What is left would be tried again, and the next example's `sent` would wait for it.
        TaskerTelemetry.flush(timeout: 10)
      end
    end
  end
end
