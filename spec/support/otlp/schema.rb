# frozen_string_literal: true

module Otlp
  # The messages of opentelemetry-proto 1.x as far as they are read, for Wire.
  SCHEMA = {
    trace_request: { 1 => %i[resources resource_spans many] },
    resource_spans: { 1 => %i[resource resource], 2 => %i[scopes scope_spans many] },
    scope_spans: { 1 => %i[scope scope], 2 => %i[spans span many] },
    span: {
      1 => %i[trace_id hex], 2 => %i[span_id hex], 3 => %i[trace_state string], 4 => %i[parent_id hex],
      5 => %i[name string], 6 => %i[kind uint], 7 => %i[start fixed64], 8 => %i[end fixed64],
      9 => %i[attributes key_value many], 10 => %i[dropped_attributes uint], 11 => %i[events event many],
      12 => %i[dropped_events uint], 13 => %i[links link many], 14 => %i[dropped_links uint],
      15 => %i[status status], 16 => %i[flags fixed32]
    },
    event: { 1 => %i[time fixed64], 2 => %i[name string], 3 => %i[attributes key_value many] },
    link: { 1 => %i[trace_id hex], 2 => %i[span_id hex], 3 => %i[trace_state string],
            4 => %i[attributes key_value many], 6 => %i[flags fixed32] },
    status: { 2 => %i[message string], 3 => %i[code uint] },

    metrics_request: { 1 => %i[resources resource_metrics many] },
    resource_metrics: { 1 => %i[resource resource], 2 => %i[scopes scope_metrics many] },
    scope_metrics: { 1 => %i[scope scope], 2 => %i[metrics metric many] },
    metric: { 1 => %i[name string], 2 => %i[description string], 3 => %i[unit string], 5 => %i[gauge data],
              7 => %i[sum data], 9 => %i[histogram histogram_data] },
    data: { 1 => %i[points number_point many], 2 => %i[temporality uint], 3 => %i[monotonic bool] },
    histogram_data: { 1 => %i[points histogram_point many], 2 => %i[temporality uint] },
    number_point: { 2 => %i[start fixed64], 3 => %i[time fixed64], 4 => %i[double double],
                    5 => %i[exemplars exemplar many], 6 => %i[int sfixed64], 7 => %i[attributes key_value many] },
    histogram_point: {
      2 => %i[start fixed64], 3 => %i[time fixed64], 4 => %i[count fixed64], 5 => %i[sum double],
      6 => %i[counts fixed64 many], 7 => %i[bounds double many], 8 => %i[exemplars exemplar many],
      9 => %i[attributes key_value many], 11 => %i[min double], 12 => %i[max double]
    },
    exemplar: { 2 => %i[time fixed64], 3 => %i[double double], 4 => %i[span_id hex], 5 => %i[trace_id hex],
                6 => %i[int sfixed64], 7 => %i[attributes key_value many] },

    resource: { 1 => %i[attributes key_value many] },
    scope: { 1 => %i[name string], 2 => %i[version string] },
    key_value: { 1 => %i[key string], 2 => %i[value any_value] },
    any_value: { 1 => %i[string string], 2 => %i[bool bool], 3 => %i[int int], 4 => %i[double double],
                 5 => %i[array array], 6 => %i[map map], 7 => %i[bytes bytes] },
    array: { 1 => %i[values any_value many] },
    map: { 1 => %i[values key_value many] }
  }.freeze
end
