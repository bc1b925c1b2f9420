# frozen_string_literal: true

require "zlib"

module TaskerTelemetry
  class Endpoint
    # A page as a Rack body: rendered piece by piece while the server sends it.
    #
    # @api private
    class Body
      # How long a client may take to read a page. What is on the page cannot be reclaimed meanwhile.
      LONGEST_SECONDS = 120

      # The window of 32 KiB, and 16 for the gzip format.
      GZIP_WINDOW = Zlib::MAX_WBITS + 16

      # Renders the first piece at once: what fails here can still become an answer that says so.
      #
      # @param page [Native::Page]
      # @param started [Float] when the request came, on the monotonic clock
      # @param gzip [Boolean]
      def initialize(page, started, gzip:)
        @page = page
        @deflate = Zlib::Deflate.new(Zlib::BEST_SPEED, GZIP_WINDOW) if gzip
        @seconds = 0.0
        @deadline = started + LONGEST_SECONDS
        @first = piece(started)
      end

      # @yieldparam chunk [String]
      def each(&)
        chunk = @first
        while chunk
          send_on(chunk, &)
          chunk = piece
          give_up if chunk && Clock.now > @deadline
        end
        yield @deflate.finish if @deflate
        Native.scraped(@seconds)
      end

      # Called by the server, also when the client went away.
      def close
        @page&.close
        @page = nil
        @deflate&.close
        @deflate = nil
      end

      private

      # The client has had the beginning of an answer, so all that can be done is to break it off.
      def give_up
        close
        raise Error, "the client took more than #{LONGEST_SECONDS} s to read the page"
      end

      def send_on(chunk)
        chunk = @deflate.deflate(chunk) if @deflate
        # An empty chunk would end a chunked body.
        yield chunk unless chunk.empty?
      end

      # Only our own time counts as the scrape's, not what a slow client takes to read.
      def piece(started = Clock.now)
        @page.next_chunk
      ensure
        @seconds += Clock.now - started
      end
    end
  end
end
