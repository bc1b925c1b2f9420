# frozen_string_literal: true

require "tasker_telemetry/failure"
require "tasker_telemetry/text"

module TaskerTelemetry
  module Logs
    # A copy of a payload that any format can write: text, numbers, true, false, nil, Hashes and Arrays, no matter what
    # is in the payload and how large it is. Of other objects the class is told, never what they hold.
    #
    # @api private
    class Values
      DEEPEST = 3
      # Of one Hash or Array, and of all together.
      MOST_ENTRIES = 50
      MOST_VALUES = 500
      LONGEST_TEXT = 1_024
      # Of all texts together.
      MOST_TEXT = 16_384
      LONGEST_KEY = 100
      # Digits of larger numbers take long to find.
      MOST_BITS = 256
      CUT = "…"
      private_constant :DEEPEST, :MOST_ENTRIES, :MOST_VALUES, :LONGEST_TEXT, :MOST_TEXT, :LONGEST_KEY, :MOST_BITS,
                       :CUT

      # @param payload [Hash]
      # @return [Hash{String => Object}]
      def self.of(payload)
        payload.is_a?(Hash) ? new.hash(payload, 0) : {}
      end

      def initialize
        @inside = {}.compare_by_identity
        @left = MOST_VALUES
        @room = MOST_TEXT
      end

      # @api private
      def hash(hash, depth)
        nested(hash, depth) do
          copy = {}
          hash.each do |key, value|
            break copy[CUT] = "#{hash.size} in all" if copy.size >= MOST_ENTRIES || spent?

            copy[key(key)] = value(value, depth + 1)
          end
          copy
        end
      end

      private

      def array(array, depth)
        nested(array, depth) do
          copy = []
          array.each do |value|
            break copy.push("#{CUT} #{array.size} in all") if copy.size >= MOST_ENTRIES || spent?

            copy.push(value(value, depth + 1))
          end
          copy
        end
      end

      def nested(collection, depth)
        return "[cycle]" if @inside[collection]
        return "[#{collection.class} of #{collection.size}]" if depth > DEEPEST

        @inside[collection] = true
        begin
          yield
        ensure
          @inside.delete(collection)
        end
      end

      def spent?
        (@left -= 1).negative?
      end

      # What a value's own methods raise costs this value only.
      def value(value, depth)
        plain(value, depth)
      rescue *Failure::PASSING
        raise
      rescue Exception # rubocop:disable Lint/RescueException -- the methods of an object of the application's
        "[unreadable]"
      end

      def plain(value, depth)
        case value
        when nil, true, false then value
        when String, Symbol then text(value)
        when Numeric then number(value)
        when Hash then hash(value, depth)
        when Array then array(value, depth)
        else other(value)
        end
      end

      def other(value)
        case value
        when Time then value.getutc.strftime("%FT%T.%6NZ")
        when Exception then text(Failure.describe(value))
        when Module then text(value.name || value.class)
        else dated(value) || "[#{value.class}]"
        end
      end

      # Date, DateTime, and ActiveSupport's times.
      def dated(value)
        text(value.iso8601) if value.respond_to?(:iso8601) && value.respond_to?(:to_time)
      end

      def number(value)
        case value
        when Integer then value.bit_length > MOST_BITS ? "[Integer of #{value.bit_length} bits]" : value
        when Float then value.finite? ? value : value.to_s
        else text(value)
        end
      end

      def text(value)
        return "[binary, #{value.bytesize} bytes]" if binary?(value)

        # A character takes four bytes at most, so no more of a huge text is looked at.
        beginning = value.is_a?(String) ? value.byteslice(0, LONGEST_TEXT * 4) : value
        text = Text.of(beginning)
        longest = [LONGEST_TEXT, @room].min
        @room -= [text.length, longest].min
        text.length > longest ? "#{Text.beginning(text, longest)}#{CUT}" : text
      end

      # Bytes that are text are shown, though nobody said so.
      def binary?(value)
        return false unless value.is_a?(String) && value.encoding == Encoding::BINARY

        beginning = value.byteslice(0, LONGEST_TEXT).force_encoding(Encoding::UTF_8)
        # The last character may have been cut in two.
        readable = beginning.bytesize - (value.bytesize > LONGEST_TEXT ? 3 : 0)
        beginning.scrub("").bytesize < readable
      end

      def key(key)
        text = Text.of(key)
        text.length > LONGEST_KEY ? "#{text[0, LONGEST_KEY]}#{CUT}" : text
      rescue *Failure::PASSING
        raise
      rescue Exception # rubocop:disable Lint/RescueException -- a `to_s` of the application's
        "[#{key.class}]"
      end
    end
  end
end
