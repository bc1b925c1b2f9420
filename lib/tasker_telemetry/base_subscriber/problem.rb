# frozen_string_literal: true

require "tasker_telemetry/event"
require "tasker_telemetry/failure"
require "tasker_telemetry/redaction"

module TaskerTelemetry
  class BaseSubscriber
    # What a payload tells of an error. Publishers differ in where they put it: the exception itself, its class by one
    # of several names, or the pair of ActiveSupport::Notifications.
    #
    # @api private
    class Problem
      LONGEST_CLASS = 100
      LONGEST_MESSAGE = 1_000
      CONSTANT = /\A[A-Z]\w*(?:::[A-Z]\w*)*\z/
      # What the name of a class tells about the kind of error. The first that fits counts.
      CATEGORIES = {
        "timeout" => /Timeout|TimedOut|ETIMEDOUT|DeadlineExceeded/,
        "network" => /Connect|Network|Socket|ECONN|EHOST|ENET|EPIPE|Resolv|SSL/,
        "not_found" => /NotFound|ENOENT/,
        "auth" => /Auth|Forbidden|AccessDenied|Permission|EACCES|InvalidToken|InvalidSignature/,
        "rate_limit" => /RateLimit|TooManyRequests|Throttl|QuotaExceeded/,
        "client_error" => /Client|BadRequest|Unprocessable|Conflict|Invalid|Validation|Pars(?:e|ing)/,
        "server_error" => /Server|BadGateway|ServiceUnavailable|Internal/,
        "runtime" => /\A(?:Standard|Runtime|Argument|Type|Name|NoMethod|NoMatchingPattern|Key|Index|Range|ZeroDivision|
                      FloatDomain|Frozen|NotImplemented|LocalJump|Fiber|Thread|Regexp|Encoding|IO|SystemStack)Error\z/x
      }.freeze
      private_constant :LONGEST_CLASS, :LONGEST_MESSAGE, :CONSTANT, :CATEGORIES

      def initialize(payload)
        @payload = payload
        @exception = %i[exception_object error exception].map { |key| read(key) }.grep(Exception).first
        @pair = read(:exception).is_a?(Array) ? read(:exception) : []
      end

      # @return [String, nil]
      def type
        type = @exception ? @exception.class : named
        Text.of(type)[0, LONGEST_CLASS] if type
      end

      # @return [String, nil] without secrets
      def message
        message = read(:error_message) || (@exception ? Failure.message(@exception) : @pair[1] || told)
        Redaction.text(message)[0, LONGEST_MESSAGE] if message
      end

      # @return [Integer, nil]
      def attempt
        read(:attempt_number) || read(:attempt)
      end

      # @return [Boolean, nil]
      def retryable
        told = %i[retryable is_retryable].map { |key| read(key) }.compact
        return told.first unless told.empty?

        final = read(:final_failure)
        !final unless final.nil?
      end

      # @return [String]
      def category
        name = type
        return "unknown" if name.nil? || name.empty?

        CATEGORIES.find { |_, names| name.match?(names) }&.first || "other"
      end

      private

      def read(key)
        Event.read(@payload, key)
      end

      def named
        read(:exception_class) || read(:error_class) || @pair.first ||
          %i[error exception].map { |key| read(key) }.find { |value| constant?(value) }
      end

      def told
        text = read(:error)
        text if text.is_a?(String) && !constant?(text)
      end

      # `error` is a class in some payloads, and a message in others.
      def constant?(value)
        value.is_a?(Module) || (value.is_a?(String) && value.match?(CONSTANT))
      end
    end
  end
end
