# frozen_string_literal: true

require_relative "task_trace"

module Demo
  # A trace, as lines to be read.
  class Outline
    NAMES = 38

    # @param processes [Hash{String=>Array<Integer>}] what the processes are called
    def initialize(processes)
      @processes = processes
    end

    # @param trace [Otlp::Trace]
    # @return [Array<String>]
    def lines(trace)
      root = trace.roots.first
      below(trace, root, 0, root.start_ns)
    end

    private

    def below(trace, span, depth, from)
      children = trace.children(span).sort_by { |child| [child.start_ns, child.end_ns] }
      [line(span, depth, from), *children.flat_map { |child| below(trace, child, depth + 1, from) }]
    end

    def line(span, depth, from)
      attempt = span.attributes["attempt_number"]
      name = "#{"  " * depth}#{span.name}#{", attempt #{attempt}" if attempt}"
      from_to = format("%<at>+10.1f ms %<long>9.1f ms", at: (span.start_ns - from) / 1e6, long: span.duration * 1e3)
      Terminal.cut("    #{name.ljust(NAMES)} #{from_to}  #{process(span)}  #{outcome(span)}".rstrip)
    end

    def process(span)
      id = TaskTrace.process(span)
      "#{@processes.find { |_, ids| ids.include?(id) }&.first} #{id}"
    end

    def outcome(span)
      "error: #{span.status_message}" if span.status == :error
    end
  end
end
