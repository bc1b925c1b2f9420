# frozen_string_literal: true

module TaskerTelemetry
  class Endpoint
    # What a client's Accept headers ask for (RFC 9110, section 12.5).
    #
    # @api private
    module Negotiation
      # In order of preference where the client has none.
      FORMATS = %w[prometheus openmetrics json].freeze

      Offer = Struct.new(:format, :type, :version)
      Range = Struct.new(:type, :version, :quality) do
        # 0: no match; else the more, the closer.
        def closeness(offer)
          return 0 if version && version != offer.version
          return 3 if type == offer.type
          return 2 if type == "#{offer.type.partition("/").first}/*"

          type == "*/*" ? 1 : 0
        end
      end

      class << self
        # A client that accepts none of the formats gets Prometheus text: a page is a better answer than an error.
        #
        # @param accept [String, nil] the header's value
        # @return [String] the name of a format
        def format(accept)
          ranges = ranges(accept)
          best = offers.max_by.with_index { |offer, index| [quality(offer, ranges), -index] }
          best.format
        end

        # @param accept_encoding [String, nil] the header's value
        # @return [Boolean]
        def gzip?(accept_encoding)
          qualities = ranges(accept_encoding || "identity").to_h { |range| [range.type, range.quality] }
          gzip = qualities.fetch("gzip") { qualities.fetch("x-gzip") { qualities.fetch("*", 0) } }
          gzip.positive? && gzip >= qualities.fetch("identity", 0)
        end

        private

        def offers
          @offers ||= FORMATS.map do |format|
            type, version = parse(Native.formats.fetch(format))
            Offer.new(format, type, version)
          end
        end

        # The closest range decides, so that `text/plain;q=0, */*` refuses text.
        def quality(offer, ranges)
          closest = ranges.select { |range| range.closeness(offer).positive? }
                          .max_by { |range| [range.closeness(offer), range.quality] }
          closest&.quality || 0
        end

        def ranges(header)
          # As bytes: a server may hand on what is no text.
          header.to_s.b.split(",").filter_map do |item|
            type, version, quality = parse(item)
            Range.new(type, version, quality) unless type.empty?
          end
        end

        def parse(item)
          type, *parameters = item.split(";").map { |part| part.strip.downcase }
          parameters = parameters.to_h { |parameter| parameter.split("=", 2).then { |name, value| [name, value] } }
          [type.to_s, parameters["version"]&.delete('"'), quality_of(parameters["q"])]
        end

        def quality_of(text)
          return 1.0 unless text

          Float(text, exception: false)&.clamp(0.0, 1.0) || 0.0
        end
      end
    end
  end
end
