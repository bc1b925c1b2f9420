# frozen_string_literal: true

require "forwardable"

require_relative "deadline"
require_relative "faulty_collector"
require_relative "otlp/agent"

# A real collector, rotel-agent, on ports of its own for OTLP over HTTP and gRPC. It hands on what it took to a server
# that records it, and so what is read here went through the types of the collector.
#
#   Collector.open do |collector|
#     ... = collector.http_endpoint                   # or grpc_endpoint
#     spans = collector.await_spans(3)                # at least so many distinct ones
#     collector.drain                                 # now all is there that it has ever taken
#     collector.spans; collector.metrics              # see Otlp::Span, Otlp::Metric
#   end
class Collector
  include Deadline
  extend Forwardable

  attr_reader :pid

  def_delegators :@agent, :http_endpoint, :grpc_endpoint, :http_port, :grpc_port
  def_delegators :@sink, :requests, :spans, :received_spans, :metrics

  # @yieldparam collector [Collector]
  def self.open
    collector = new
    yield collector
  ensure
    collector&.close
  end

  def initialize
    @sink = FaultyCollector.new
    @agent = Otlp::Agent.new(@sink.directory, sink: @sink.port)
    start
  end

  # Has it listen, on the same ports as before.
  def start
    log = "#{@sink.directory}/rotel.out"
    @pid = spawn(*@agent.command, in: File::NULL, out: [log, "a"], err: %i[child out], pgroup: true)
    eventually(within: 20) { @agent.up? || (ended? && raise("rotel-agent ended: #{File.read(log)}")) }
  end

  # Ends it in order: it hands on what it has.
  def stop
    signal(:TERM)
    eventually(within: 20) { ended? }
  end

  # Ends it at once: what it had taken and not handed on is lost.
  def kill
    signal(:KILL)
    eventually { ended? }
  end

  # Stops it and starts it again, after which everything is known that it had answered for.
  def drain
    stop
    start
  end

  # Has it neither accept nor answer, as a machine that is too busy, until `resume`.
  def pause
    signal(:STOP)
  end

  def resume
    signal(:CONT)
  end

  # Waits for as many distinct spans.
  #
  # @return [Array<Otlp::Span>] all that there are
  def await_spans(count, within: 20)
    eventually(within:) { spans.size >= count }
    spans
  end

  # Waits for a metric of which the block holds.
  #
  # @return [Otlp::Metric] the newest
  def await_metric(name, within: 20)
    eventually(within:) { metrics.reverse.find { |metric| metric.name == name && (!block_given? || yield(metric)) } }
  end

  def close
    kill if @pid
  ensure
    @sink&.close
  end

  private

  def signal(name)
    Process.kill(name, @pid)
  end

  def ended?
    @pid = nil if @pid && Process.wait(@pid, Process::WNOHANG)
    @pid.nil?
  end
end
