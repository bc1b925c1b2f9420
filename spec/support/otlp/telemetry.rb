# frozen_string_literal: true

require_relative "schema"
require_relative "wire"

module Otlp
  # Times are in ns since the epoch, ids in hexadecimal, attributes Hashes by String; what was not sent is nil.
  Span = Struct.new(:trace_id, :span_id, :parent_id, :name, :kind, :start_ns, :end_ns, :status, :status_message,
                    :attributes, :events, :links, :trace_state, :flags, :resource, :scope, keyword_init: true) do
    # In seconds.
    def duration
      (end_ns - start_ns) / 1e9
    end

    def root?
      parent_id.nil?
    end

    # No two spans have the same.
    def identity
      [trace_id, span_id]
    end
  end
  Event = Struct.new(:name, :time_ns, :attributes, keyword_init: true)
  Link = Struct.new(:trace_id, :span_id, :attributes, :trace_state, :flags, keyword_init: true)

  # `kind` is :sum, :gauge or :histogram; `temporality` :cumulative or :delta.
  Metric = Struct.new(:name, :kind, :description, :unit, :temporality, :monotonic, :points, :resource, :scope,
                      keyword_init: true)
  # `value` of a number; `count`, `sum`, `min`, `max` and `buckets` (the counts by upper bound, not summed up; the last
  # bound is infinity) of a histogram.
  Point = Struct.new(:attributes, :start_ns, :time_ns, :value, :count, :sum, :min, :max, :buckets, :exemplars, # rubocop:disable Lint/StructNewOverride
                     keyword_init: true)
  Exemplar = Struct.new(:value, :time_ns, :trace_id, :span_id, :attributes, keyword_init: true)

  # Turns the bodies of requests into what they tell.
  module Telemetry
    KINDS = %i[unspecified internal server client producer consumer].freeze
    STATUSES = %i[unset ok error].freeze
    TEMPORALITIES = %i[unspecified delta cumulative].freeze

    module_function

    # @return [Array<Span>]
    def spans(body)
      Wire.read(SCHEMA, :trace_request, body)[:resources].flat_map do |part|
        resource = resource(part)
        part[:scopes].flat_map { |scope| scope[:spans].map { |span| span(span, resource, scope[:scope]) } }
      end
    end

    # @return [Array<Metric>]
    def metrics(body)
      Wire.read(SCHEMA, :metrics_request, body)[:resources].flat_map do |part|
        resource = resource(part)
        part[:scopes].flat_map { |scope| scope[:metrics].map { |metric| metric(metric, resource, scope[:scope]) } }
      end
    end

    def resource(part)
      attributes(part.dig(:resource, :attributes) || [])
    end

    def span(read, resource, scope)
      status = read.fetch(:status, {})
      Span.new(trace_id: read[:trace_id], span_id: read[:span_id], parent_id: present(read[:parent_id]),
               name: read[:name], kind: KINDS.fetch(read.fetch(:kind, 0)), start_ns: read[:start], end_ns: read[:end],
               status: STATUSES.fetch(status.fetch(:code, 0)), status_message: present(status[:message]),
               attributes: attributes(read[:attributes]), events: read[:events].map { |event| event(event) },
               links: read[:links].map { |link| link(link) }, trace_state: present(read[:trace_state]),
               flags: read[:flags], resource: resource, scope: scope)
    end

    def event(read)
      Event.new(name: read[:name], time_ns: read[:time], attributes: attributes(read[:attributes]))
    end

    def link(read)
      Link.new(trace_id: read[:trace_id], span_id: read[:span_id], attributes: attributes(read[:attributes]),
               trace_state: present(read[:trace_state]), flags: read[:flags])
    end

    def metric(read, resource, scope)
      kind = %i[sum gauge histogram].find { |name| read.key?(name) }
      data = read.fetch(kind, { points: [] })
      Metric.new(name: read[:name], kind: kind, description: present(read[:description]), unit: present(read[:unit]),
                 temporality: (TEMPORALITIES.fetch(data.fetch(:temporality, 0)) unless kind == :gauge),
                 monotonic: data.fetch(:monotonic, false), points: data[:points].map { |point| point(point) },
                 resource: resource, scope: scope)
    end

    def point(read)
      Point.new(attributes: attributes(read[:attributes]), start_ns: read[:start], time_ns: read[:time],
                value: number(read), **read.slice(:count, :sum, :min, :max), buckets: buckets(read),
                exemplars: read[:exemplars].map { |exemplar| exemplar(exemplar) })
    end

    def buckets(read)
      [*read[:bounds], Float::INFINITY].zip(read[:counts]).to_h if read.key?(:counts)
    end

    def exemplar(read)
      Exemplar.new(value: number(read), time_ns: read[:time], trace_id: present(read[:trace_id]),
                   span_id: present(read[:span_id]), attributes: attributes(read[:attributes]))
    end

    def number(read)
      read[:int] || read[:double]
    end

    def attributes(list)
      list.to_h { |pair| [pair[:key], any(pair.fetch(:value, {}))] }
    end

    def any(read)
      type, value = read.first
      case type
      when :array then value[:values].map { |item| any(item) }
      when :map then attributes(value[:values])
      else value
      end
    end

    # An empty text or id means that there is none.
    def present(text)
      text unless text.nil? || text.empty?
    end
  end
end
