# frozen_string_literal: true

module TaskerTelemetry
  # Text as the native side takes it: UTF-8.
  #
  # @api private
  module Text
    # Bytes of these are UTF-8 already, or are taken for it.
    UNCONVERTED = [Encoding::UTF_8, Encoding::US_ASCII, Encoding::BINARY].freeze

    class << self
      # @param value [Object] whatever has `to_s`
      # @return [String] frozen; what is no text in it became U+FFFD, as in the labels of a sample
      def of(value)
        converted("#{value}", invalid: :replace, undef: :replace).scrub("\u{FFFD}").freeze # rubocop:disable Style/RedundantInterpolation -- a `to_s` may give anything
      end

      # @param value [String]
      # @return [String, nil] frozen; nil when there is something in it that is no text
      def strictly(value)
        text = converted(value)
        text.freeze if text.valid_encoding?
      rescue EncodingError
        nil
      end

      # @param text [String] with a URL in it
      # @return [String] without the name, password and query in it
      def shown_url(text)
        # Whether it is a query or a password that goes on there is not known.
        return text.sub(%r{(://)[^\s"]*}, '\1') if text.match?(%r{://[^\s"]*[?#][^\s"]*@})

        text.sub(%r{(\A"?|://)[^/?#\s"]*@}, '\1').sub(/[?#][^\s"]*/, "")
      end

      # @param text [String]
      # @param longest [Integer] characters that are kept
      # @return [String] the beginning, without a URL that was cut: its password would not be recognized as one
      def beginning(text, longest)
        return text if text.length <= longest

        kept = text[0, longest]
        # JSON may escape the slashes.
        at = kept.rindex(%r{:\\*/\\*/}) or return kept
        from = at + kept[at..][%r{\A:\\*/\\*/}].length
        kept[from..].match?(/[\s"'`<>]|\\[nrt]/) ? kept : kept[0, from]
      end

      private

      def converted(text, **options)
        return text.dup.force_encoding(Encoding::UTF_8) if UNCONVERTED.include?(text.encoding)

        text.encode(Encoding::UTF_8, **options)
      end
    end
  end
end
