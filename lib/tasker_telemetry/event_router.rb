# frozen_string_literal: true

require "monitor"
require "singleton"
require "tasker_telemetry/text"

module TaskerTelemetry
  # Which events become what: {TaskerTelemetry.events}. An event is decided upon once, and the same for metrics, traces
  # and logs.
  class EventRouter
    include Singleton

    # Long enough to recognize a value by.
    LONGEST_VALUE = 100
    private_constant :LONGEST_VALUE

    # Maps events to what becomes of them. A mapping of the same pattern replaces the one before; of several that fit,
    # the most specific decides: an exact name, else the glob with the most letters, else the one mapped last.
    #
    # @param pattern [String, Symbol] an event's name, or a glob: `*` stands for any run of characters, dots included
    # @param backends [Array<Symbol>] any of :metrics, :traces and :logs
    # @param sample [Numeric] the share of the events that is kept, from 0 to 1
    # @param priority [Symbol] :low, :normal, :high or :critical. A critical event is never sampled out, and is the last
    #   to go when a queue is full
    # @param labels [Array<Symbol, Hash>] keys of the payload that become labels of the metric. A Hash renames and
    #   limits: `{ status: :state }` reads :status into the label state, `{ plan: { as: :tier, limit: 10 } }` reads
    #   :plan into the label tier, of which ten different values are kept and the rest becomes __other__
    # @param enabled [Boolean] false: nothing becomes of these events
    # @raise [ConfigurationError] naming what is accepted
    # @return [self]
    def map(pattern, backends:, sample: 1.0, priority: :normal, labels: [], enabled: true)
      settle
      Native.map_event(Text.of(pattern), list(backends), share(pattern, sample), Text.of(priority),
                       list_of_labels(pattern, labels), enabled ? true : false)
      TelemetrySubscriber.refresh
      hear(Text.of(pattern))
      self
    end

    # Takes a mapping away, so that the next that fits decides: a glob, or the catalogue.
    #
    # @param pattern [String, Symbol] as it was mapped
    # @return [Boolean] whether there was one
    def unmap(pattern)
      settle
      Native.unmap_event(Text.of(pattern)).tap { TelemetrySubscriber.refresh }
    end

    # @return [Array<Hash{Symbol => Object}>] the mappings that were made, the catalogue's own not among them
    def mappings
      settle
      Native.event_mappings
    end

    # @param name [String, Symbol] an event's name
    # @return [Hash{Symbol => Object}, nil] what is decided about it, and by which pattern; nil when nothing is
    def mapping_for(name)
      settle
      Native.event_mapping(Text.of(name))
    end

    # Makes an event of one's own known, so that it is listed with the others. It takes no registration to map an event.
    #
    # @param name [String, Symbol]
    # @param description [String] one line for people
    # @param payload [Array<Symbol>] the keys of its payload
    # @raise [ConfigurationError] for a name of the catalogue's, or one that cannot be a name
    # @return [self]
    def register(name, description: "", payload: [])
      settle
      Native.register_event(Text.of(name), Text.of(description), list(payload))
      TelemetrySubscriber.refresh
      hear(Text.of(name))
      self
    end

    # @return [Array<Hash{Symbol => Object}>] every event that is known: name, description, payload keys, kind,
    #   backends, sample, priority, and the metrics that it makes
    def catalogue
      settle
      Native.events
    end

    # Takes in the events of a publisher that is not ActiveSupport::Notifications: anything with
    # `subscribe(name) { |event| }`, as that of dry-events. To each name it is listened once, however often this is
    # called.
    #
    # @param publisher [#subscribe]
    # @param names [Array<String, Symbol>, String, Symbol, nil] nil for every event of the catalogue and every one that
    #   is mapped or registered, now or later; what a glob fits is found where the publisher tells which events it has
    # @raise [ArgumentError] for an object that is no publisher
    # @return [Array<String>] the names that the publisher knows
    def listen_to(publisher, names = nil)
      settle
      return listen(publisher, list(names).uniq) if names

      listen(publisher, known_names | routed_names(publisher)).tap do
        @changing.synchronize { @publishers[publisher] = publisher }
      end
    end

    # Forgets which transitions were told, and when tasks and steps began, in all processes of this machine: after the
    # database was made anew, in which the same ids begin again. What was counted and mapped stays.
    #
    # @return [nil]
    def forget
      settle
      Native.forget_events
    end

    # Forgets every mapping and every event that was registered. For tests.
    #
    # @return [nil]
    def reset!
      settle
      Native.reset_events
      TelemetrySubscriber.refresh
    end

    private

    def initialize
      @changing = Monitor.new
      # Those that are listened to by whatever names are known. It keeps none of them.
      @publishers = ObjectSpace::WeakMap.new
    end

    # Has those publishers listened to for what a new pattern fits.
    def hear(pattern)
      @changing.synchronize { @publishers.keys }.each do |publisher|
        listen(publisher, pattern.include?("*") ? routed_names(publisher) : [pattern])
      end
    end

    def listen(publisher, names)
      Publishers.listen(publisher, names, TelemetrySubscriber.method(:take))
    end

    def routed_names(publisher)
      [*Publishers.names_of(publisher)].map { |name| Text.of(name) }.select { |name| Native.event_routed?(name) }
    end

    def known_names
      (catalogue.map { |event| event[:name] } +
        mappings.map { |mapping| mapping[:pattern] }.reject { |pattern| pattern.include?("*") }).uniq
    end

    def list(names)
      [*names].map { |name| Text.of(name) }
    end

    def share(pattern, sample)
      return sample.to_f if sample.is_a?(Numeric) && sample.real?

      raise ConfigurationError, "sample of #{pattern.inspect} cannot be #{shown(sample)}; " \
                                "accepted is a number from 0 to 1"
    end

    # @return [Array<(String, String, Integer)>] key of the payload, label, number of values (0: no limit)
    def list_of_labels(pattern, labels)
      labels = [labels] if labels.is_a?(Hash)
      [*labels].flat_map do |label|
        next [[Text.of(label), Text.of(label), 0]] unless label.is_a?(Hash)

        label.map { |key, how| [Text.of(key), *renamed(pattern, key, how)] }
      end
    end

    def renamed(pattern, key, how)
      return [Text.of(how), 0] unless how.is_a?(Hash)

      unknown = how.keys - %i[as limit]
      limit = how.fetch(:limit, 0)
      return [Text.of(how.fetch(:as, key)), limit] if unknown.empty? && limit.is_a?(Integer) && !limit.negative?

      raise ConfigurationError, "label #{key.inspect} of #{pattern.inspect} cannot be #{shown(how)}; " \
                                "accepted: as:, a name, and limit:, a number of values"
    end

    def shown(value)
      Text.of(value.inspect)[0, LONGEST_VALUE]
    end

    # What is decided depends on the configuration: prefix, service name, filters.
    def settle
      TaskerTelemetry.configure unless TaskerTelemetry.configured?
    end

    # Here and now: the first call takes a lock, which a trap handler may not.
    instance
  end
end
