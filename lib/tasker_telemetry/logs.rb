# frozen_string_literal: true

require "tasker_telemetry/correlation"
require "tasker_telemetry/isolation"
require "tasker_telemetry/redaction"
require "tasker_telemetry/logs/line"
require "tasker_telemetry/logs/values"

module TaskerTelemetry
  # Events as lines of the log, and the ids of the trace for the lines that others write.
  module Logs
    # From the most to the least urgent.
    LEVELS = %i[fatal error warn info debug].freeze
    # What the end of an event's name says about its level.
    ENDINGS = { "failed" => :error, "error" => :error, "warning" => :warn, "warn" => :warn, "debug" => :debug }.freeze
    private_constant :LEVELS, :ENDINGS

    class << self
      # Writes one line, in the format of `config.logs.format`; nothing unless `config.logs.enabled`. It never raises.
      #
      # @param name [String] of the event
      # @param level [Symbol, nil] nil for what the name says: error for one that ends in .failed or .error, warn for
      #   .warning, debug for .debug, else info
      # @param payload [Hash]
      # @param trace_id [String, nil] nil for that of the current trace
      # @param span_id [String, nil]
      # @param correlation_id [String, nil] nil for that of the payload, else the current one
      # @param duration [Numeric, nil] seconds
      # @param time [Time, nil] nil for now
      # @param filter [#call] is given the payload, already made of text, numbers, Hashes and Arrays, and gives it
      #   without secrets
      # @return [Boolean] whether a line was written
      def write(name:, level: nil, payload: {}, trace_id: nil, span_id: nil, correlation_id: nil, duration: nil,
                time: nil, filter: Redaction.method(:payload))
        config = TaskerTelemetry.config.logs
        level = level_of(name, level)
        return false unless config.enabled && listening?(level)

        line = Isolation.guard(Isolation.label(Logs), name) do
          trace = trace_id ? { trace_id: trace_id, span_id: span_id } : trace_ids
          Line.new(time: time, level: level, name: name, **trace,
                   correlation_id: correlation_id || Correlation.of(payload), duration: duration,
                   payload: filter.call(Values.of(payload))).to_s(config.format)
        end
        line ? Log.line(level, line) : false
      end

      # Tags for the log of a Rails application. Outside of a trace there are none.
      #
      #   Rails.application.config.log_tags = [:request_id, *TaskerTelemetry::Logs.tags]
      #
      # @return [Array<Proc>]
      def tags
        [->(_request) { tag(:trace_id) }, ->(_request) { tag(:span_id) }]
      end

      # What to add to a line that is written now. Nil values are left out.
      #
      # @return [Hash{Symbol => String}] trace_id:, span_id: and correlation_id:
      def custom_options
        Isolation.guard(Isolation.label(Logs), "custom_options") do
          { **trace_ids, correlation_id: Correlation.current }.compact
        end || {}
      end

      # For SemanticLogger: `SemanticLogger.tagged(TaskerTelemetry::Logs.named_tags) { … }`.
      #
      # @return [Hash{Symbol => String}] as {.custom_options}
      def named_tags
        custom_options
      end

      # For lograge:
      #
      #   Rails.application.config.lograge.custom_options = TaskerTelemetry::Logs.lograge_options
      #
      # @return [Proc] is given the event of each request
      def lograge_options
        ->(_event) { custom_options }
      end

      private

      def level_of(name, level)
        level = level&.to_sym
        LEVELS.include?(level) ? level : ENDINGS.fetch(name[/[^.]*\z/], :info)
      end

      # A level that the logger does not write costs nothing more.
      def listening?(level)
        logger = Log.logger
        asked = :"#{level}?"
        !logger.respond_to?(asked) || logger.public_send(asked)
      end

      def trace_ids
        trace = TaskerTelemetry.current_trace if TaskerTelemetry.respond_to?(:current_trace)
        trace ? { trace_id: trace.trace_id, span_id: trace.span_id } : {}
      end

      def tag(name)
        id = custom_options[name]
        "#{name}=#{id}" if id
      end
    end
  end
end
