# frozen_string_literal: true

module TaskerTelemetry
  # Something that happened, as a {BaseSubscriber} is told of it.
  class Event
    # @return [String] such as "order.completed"
    attr_reader :name
    # @return [Hash] as it was published
    attr_reader :payload
    # @return [Time, nil] when the block around which it was published began; nil from a publisher that tells none
    attr_reader :started
    # @return [Time] when it ended, or was published
    attr_reader :finished
    # @return [String, nil] what the events of one thread have in common
    attr_reader :id

    # @param name [String]
    # @param payload [Hash]
    # @param started [Time, nil]
    # @param finished [Time, nil] nil for now
    # @param id [String, nil]
    def initialize(name, payload, started: nil, finished: nil, id: nil)
      @name = name
      @payload = payload
      @started = started
      @finished = finished || Time.now
      @id = id
      freeze
    end

    # @return [Float, nil] seconds from {#started} to {#finished}
    def duration
      finished - started if started
    end

    # @param key [Symbol, String] either finds a value that is under the other
    # @return [Object, nil]
    def [](key)
      Event.read(payload, key)
    end

    # @return [String] without the payload, which may hold anything
    def inspect
      "#<#{self.class} #{name} #{payload.keys.map(&:to_s)}>"
    end
    alias to_s inspect

    # @api private
    # @return [Object, nil] what a payload has under a key, be it a Symbol or a String
    def self.read(payload, key, default = nil)
      payload.fetch(key) do
        payload.fetch(key.is_a?(Symbol) ? key.name : key.to_sym, default)
      end
    end
  end
end
