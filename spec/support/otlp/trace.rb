# frozen_string_literal: true

module Otlp
  # The spans of one trace as the tree that they should be.
  class Trace
    # @return [Hash{String=>Trace}] by trace id
    def self.of(spans)
      spans.group_by(&:trace_id).transform_values { |group| new(group) }
    end

    attr_reader :spans

    def initialize(spans)
      @spans = spans
      @by_id = spans.to_h { |span| [span.span_id, span] }
    end

    def roots
      spans.select(&:root?)
    end

    # Those whose parent is not there.
    def orphans
      spans.reject { |span| span.root? || @by_id.key?(span.parent_id) }
    end

    # Whether each span is below the one root.
    def tree?
      roots.size == 1 && below(roots.first).size == spans.size - 1
    end

    def children(span)
      spans.select { |one| one.parent_id == span.span_id }
    end

    # All descendants, depth first.
    def below(span)
      children(span).flat_map { |child| [child, *below(child)] }
    end

    # The names with two spaces for each level, to be read and to be compared.
    def outline(under = nil, depth = 0)
      (under ? children(under) : roots + orphans).sort_by { |span| [span.start_ns.to_i, span.name] }.map do |span|
        "#{"  " * depth}#{span.name}\n#{outline(span, depth + 1)}"
      end.join
    end
  end
end
