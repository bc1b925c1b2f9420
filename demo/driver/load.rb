# frozen_string_literal: true

module Demo
  # The load generator: wrk, a program that knows nothing of the application's figures and keeps its own.
  class Load
    SCRIPT = File.expand_path("../load.lua", __dir__)
    LIMIT = 600 # seconds
    REQUESTS_PER_PACKAGE = 10
    PAUSE = 40 # milliseconds that a connection rests between an answer and the next request

    # Starts at once.
    def initialize(children, plan, port)
      @children = children
      @connections = [8, File.foreach(plan).count].min
      command = ["wrk", "-t#{@connections}", "-c#{@connections}", "-d#{LIMIT}s", "--timeout", "30s", "-s", SCRIPT,
                 "http://127.0.0.1:#{port}", "--", @connections, plan, REQUESTS_PER_PACKAGE, PAUSE]
      @child = children.start("wrk", *command.map(&:to_s))
    end

    # wrk itself goes on to the end of its time; but when its threads are through it has nothing left to do.
    #
    # @return [Boolean]
    def through?
      File.foreach(@child.log).grep(/^thread \d+ is through$/).size == @connections
    end

    # @return [Hash{String=>Integer}] what the log says: asked, answered, 2xx, 4xx, 5xx, other, accepted, errors
    # @raise [Failure] when a request was not answered
    def finish
      @children.stop(@child, :INT)
      figures = File.read(@child.log).scan(/^(\w+) (\d+)$/).to_h.transform_values(&:to_i)
      unless figures["answered"] == figures["asked"] && figures["errors"].zero?
        raise Failure.new("some requests were not answered", @child.log)
      end

      figures
    end
  end
end
