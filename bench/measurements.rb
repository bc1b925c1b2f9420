# frozen_string_literal: true

require_relative "contestant"
require_relative "sink"

module Bench
  # Measures, and keeps what was found. Contestants take turns within every round, so that what else the machine does
  # meets all of them.
  class Measurements
    PEERS = %w[Mmap Synchronized DirectFileStore OpenTelemetry].freeze
    # Those whose numbers several processes share.
    SHARING = %w[Ours Mmap DirectFileStore].freeze

    # What events and spans go through.
    TRACED = %w[EmptySubscriber OursTraced OpenTelemetryTraced].freeze
    # An application without this gem, and with more and more of it.
    REQUESTS = %w[BareRails RailsWithMetrics RailsWithTraces].freeze

    # By contestant: of calls, traced and requests their works, of flatness threads and processes by number, of pages
    # the processes.
    attr_reader :calls, :traced, :requests, :flatness, :pages, :stream, :memory, :titles, :absent

    def initialize(plan, progress)
      @plan = plan
      @progress = progress
      @titles = {}
      @absent = {}
    end

    def run
      @calls = measure("calls", ["Empty", "Ours", *PEERS]) { |contestants| measure_calls(contestants) }
      @traced = measure("events and spans", TRACED) { |contestants| measure_sending(contestants) }
      @requests = measure("requests", REQUESTS) { |contestants| measure_sending(contestants) }
      @flatness = measure("threads and processes", SHARING) { |contestants| measure_flatness(contestants) }
      @pages = measure("pages", SHARING + ["Synchronized"]) { |contestants| measure_pages(contestants) }
      @memory = measure("memory", SHARING) { |contestants| measure_memory(contestants) }
      @stream = measure("a long page", ["Ours"]) { |contestants| measure_stream(contestants) }.fetch("Ours")
      self
    end

    private

    def measure(topic, names)
      started = Bench.now
      @progress.print("#{topic} ".ljust(24, "."))
      found = Contestant.gather(names) do |contestants, missing|
        contestants.each { |contestant| @titles[contestant.name] = contestant.title }
        missing.each { |contestant| @absent[contestant.name] = contestant.absent }
        yield contestants
      end
      @progress.puts(" #{(Bench.now - started).round} s")
      found
    end

    # A Hash by contestant of what the block finds in each round.
    def rounds(contestants)
      found = Array.new(@plan.rounds) do
        contestants.to_h { |contestant| [contestant.name, yield(contestant)] }
      end
      contestants.to_h { |contestant| [contestant.name, found.map { |round| round.fetch(contestant.name) }] }
    end

    def measure_calls(contestants)
      works = contestants.to_h { |contestant| [contestant.name, contestant.ask("works")] }
      works.values.flatten.uniq.each_with_object(works.transform_values { {} }) do |work, calls|
        able = contestants.select { |contestant| works.fetch(contestant.name).include?(work) }
        measure_call(able, work).each { |name, cost| calls.fetch(name)[work] = cost }
      end
    end

    def measure_call(contestants, work)
      times = contestants.to_h { |contestant| [contestant.name, contestant.ask("calibrate", work, @plan.seconds)] }
      found = rounds(contestants) { |contestant| contestant.ask("call", work, times.fetch(contestant.name)) }
      found.transform_values do |costs|
        costs.first.keys.to_h do |key|
          figures = costs.map { |cost| cost[key] }
          [key.to_sym, key.end_with?("objects") ? figures.min : Bench.median(figures)]
        end
      end
    end

    # To a collector on this machine, the same for all.
    def measure_sending(contestants)
      Sink.open do |endpoint|
        contestants.each { |contestant| contestant.ask("trace_to", endpoint) }
        measure_calls(contestants)
      end
    end

    def measure_flatness(contestants)
      times = contestants.to_h { |contestant| [contestant.name, contestant.ask("calibrate_shared", @plan.seconds)] }
      counts = { threads: @plan.threads, processes: @plan.processes }
      flatness = contestants.to_h { |contestant| [contestant.name, { threads: {}, processes: {} }] }
      counts.each do |together, numbers|
        numbers.each do |count|
          found = rounds(contestants) { |contestant| contestant.ask(together, count, times.fetch(contestant.name)) }
          found.each { |name, costs| flatness[name][together][count] = Bench.median(costs) }
        end
      end
      flatness
    end

    # First one process, then a crowd of them that have counted into every series.
    def measure_pages(contestants)
      contestants.each { |contestant| contestant.ask("count", @plan.series) }
      alone = scrape(contestants)
      sharing = contestants.select { |contestant| SHARING.include?(contestant.name) }
      sharing.each { |contestant| contestant.ask("crowd", @plan.crowd - 1, @plan.series) }
      crowded = scrape(sharing)
      sharing.each { |contestant| contestant.ask("leave") }
      alone.to_h { |name, found| [name, { 1 => found, @plan.crowd => crowded[name] }.compact] }
    end

    def scrape(contestants)
      rounds(contestants) { |contestant| contestant.ask("scrape", @plan.pages) }.transform_values do |found|
        times = found.flat_map { |round| round["times"] }
        %w[cpu wall].to_h { |clock| [clock.to_sym, Bench.median(times.map { |time| time[clock] })] }
                    .merge(bytes: found.last["bytes"])
      end
    end

    def measure_memory(contestants)
      contestants.to_h do |contestant|
        [contestant.name, contestant.ask("memory", @plan.remembered).transform_keys(&:to_sym)]
      end
    end

    def measure_stream(contestants)
      contestants.to_h do |contestant|
        contestant.ask("count", @plan.streamed)
        [contestant.name, contestant.ask("stream").transform_keys(&:to_sym)]
      end
    end
  end
end
