# frozen_string_literal: true

# OTLP as a receiver sees it, for specifications, the demo and the benchmark. Nothing here knows RSpec, and nothing is
# shared with what sends.
module Otlp
  # Reads the wire format of protobuf by tables of fields, since no protobuf library is needed for anything else.
  #
  # A message is a Hash of number => [name, type] or [name, type, :many]; a type is one of the scalars below or the name
  # of another message. Fields that the table does not know are skipped, as protobuf demands; absent ones are not in the
  # result, but for lists.
  class Wire
    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5

    # Of each scalar the wire type, and what makes the value of what was read.
    SCALARS = {
      uint: [VARINT, ->(number) { number }],
      int: [VARINT, ->(number) { number < (1 << 63) ? number : number - (1 << 64) }],
      bool: [VARINT, ->(number) { number != 0 }],
      fixed64: [FIXED64, ->(bytes) { bytes.unpack1("Q<") }],
      sfixed64: [FIXED64, ->(bytes) { bytes.unpack1("q<") }],
      double: [FIXED64, ->(bytes) { bytes.unpack1("E") }],
      fixed32: [FIXED32, ->(bytes) { bytes.unpack1("L<") }],
      string: [BYTES, ->(bytes) { bytes.force_encoding(Encoding::UTF_8) }],
      hex: [BYTES, ->(bytes) { bytes.unpack1("H*") }],
      bytes: [BYTES, ->(bytes) { bytes }]
    }.freeze

    class Malformed < StandardError; end

    def self.read(messages, name, bytes)
      new(messages, bytes).read(messages.fetch(name))
    end

    def initialize(messages, bytes)
      @messages = messages
      @bytes = bytes
      @place = 0
    end

    # @return [Hash{Symbol=>Object}]
    def read(fields)
      result = fields.each_value.select { |_, _, many| many }.to_h { |name,| [name, []] }
      until @place == @bytes.bytesize
        number, wire_type = varint.then { |key| [key >> 3, key & 7] }
        raw = raw(wire_type)
        name, type, many = fields[number]
        next unless name

        many ? result[name].concat(values(type, wire_type, raw)) : result[name] = value(type, wire_type, raw)
      end
      result
    end

    protected

    # What a packed list holds, one after the other.
    def packed(wire_type, convert)
      values = []
      values << convert.call(raw(wire_type)) until @place == @bytes.bytesize
      values
    end

    private

    def raw(wire_type)
      case wire_type
      when VARINT then varint
      when FIXED64 then take(8)
      when BYTES then take(varint)
      when FIXED32 then take(4)
      else raise Malformed, "wire type #{wire_type} at byte #{@place}"
      end
    end

    def varint
      number = shift = 0
      loop do
        byte = @bytes.getbyte(@place) or raise Malformed, "ends within a number"
        @place += 1
        number |= (byte & 0x7f) << shift
        return number if byte < 0x80

        shift += 7
        raise Malformed, "a number of more than 64 bits" if shift > 63
      end
    end

    def take(length)
      raise Malformed, "ends within a field" if @place + length > @bytes.bytesize

      @bytes.byteslice(@place, length).tap { @place += length }
    end

    # Numbers of a list may come packed or each in a field of its own; a reader has to take both.
    def values(type, wire_type, raw)
      expected, convert = SCALARS[type]
      return [value(type, wire_type, raw)] if expected.nil? || wire_type == expected

      Wire.new(@messages, raw).packed(expected, convert)
    end

    def value(type, wire_type, raw)
      expected, convert = SCALARS[type]
      raise Malformed, "a field of #{type} has wire type #{wire_type}" unless wire_type == (expected || BYTES)

      convert ? convert.call(raw) : Wire.read(@messages, type, raw)
    end
  end
end
