# frozen_string_literal: true

module Bench
  # What the project set out to reach, beside what was measured. A peer's figure is that of the best peer in the run.
  class Goals
    Goal = Struct.new(:work, :goal, :measured, :reached)

    def initialize(plan, found)
      @plan = plan
      @found = found
    end

    def to_a
      calls + events + spans + flatness + pages + memory
    end

    private

    def calls
      [faster("counter, bound", "bound counter", "bound counter", 30),
       limit,
       objects("counter, bound", "bound counter", 0),
       faster("counter, 2 labels as keywords", "counter, 2 labels", "counter, 2 labels", 7),
       objects("counter, 2 labels as keywords", "counter, 2 labels", 1),
       faster("histogram, 2 labels", "histogram, 2 labels", "histogram, 2 labels", 20),
       faster("histogram, bound, to a peer's with 2 labels", "bound histogram", "histogram, 2 labels", 80)].compact
    end

    def ours(work)
      @found.calls.fetch("Ours").fetch(work)
    end

    # A peer without bound instruments is not skipped: what it has instead is what its users call.
    def best_peer(work)
      labelled = work.sub(/\Abound (\w+)\z/, '\1, 2 labels')
      @found.calls.slice(*Measurements::PEERS).filter_map do |name, calls|
        call = calls[work] || calls[labelled]
        [call[:ns], name] if call
      end.min
    end

    def faster(title, work, peers_work, factor)
      ns, peer = best_peer(peers_work)
      return unless peer

      reached = ns / ours(work)[:ns]
      Goal.new(title, "≥ #{factor} × faster than the best peer",
               format("%<times>.0f × (%<ours>.0f ns to %<theirs>.0f ns of %<peer>s)",
                      times: reached, ours: ours(work)[:ns], theirs: ns, peer: @found.titles.fetch(peer)),
               reached >= factor)
    end

    def limit
      empty = @found.calls.dig("Empty", "bound counter") or return
      times = ours("bound counter")[:ns] / empty[:ns]
      Goal.new("counter, bound", "≤ 1.3 × an empty native method", format("%.2f ×", times), times <= 1.3)
    end

    def objects(title, work, most)
      objects = ours(work)[:objects]
      Goal.new(title, "≤ #{most} objects", objects.to_s, objects.round(1) <= most)
    end

    # What the caller of an event or a span pays, and what the process pays until it has been sent.
    PAID = { "in the caller's thread" => :ns, "in all threads, sent" => :sent_ns }.freeze

    def events
      empty, ours = @found.traced.values_at("EmptySubscriber", "OursTraced").map { |calls| calls&.fetch("event") }
      return [] unless ours

      ns, objects = %i[ns objects].map { |key| ours[key] - empty[key] }
      title = "event through a subscriber to metric and span"
      [Goal.new(title, "≤ 0.8 µs above an empty subscriber", format("%.2f µs", ns / 1000), ns <= 800),
       Goal.new(title, "≤ 2 objects above an empty subscriber", objects.round(1).to_s, objects.round(1) <= 2),
       *sent("event", title)]
    end

    def spans
      sent("span, 2 attributes", "span with 2 attributes")
    end

    def sent(work, title)
      ours, theirs = @found.traced.values_at("OursTraced", "OpenTelemetryTraced").map { |calls| calls&.fetch(work) }
      return [] unless ours && theirs

      PAID.map do |where, key|
        Goal.new("#{title}, #{where}", "≥ 6 × faster than OpenTelemetry",
                 format("%<times>.0f × (%<ours>.2f µs to %<theirs>.2f µs)", times: theirs[key] / ours[key],
                                                                            ours: ours[key] / 1000,
                                                                            theirs: theirs[key] / 1000),
                 theirs[key] >= 6 * ours[key])
      end
    end

    def flatness
      %i[threads processes].flat_map do |together|
        times = @found.flatness.fetch("Ours").fetch(together)
        times.keys.drop(1).map do |count|
          ratio = times.fetch(count) / times.fetch(1)
          Goal.new("#{count} #{together} on one counter", "wall time ÷ all calls within 2 × of one",
                   format("%.2f ×", ratio), ratio <= 2)
        end
      end
    end

    def pages
      found = @found.pages.fetch("Ours")
      one, crowd = found.values_at(1, @plan.crowd).map { |page| page[:cpu] * 1000 }
      series = "text of #{Report.thousands(@plan.series)} counter series"
      [Goal.new("#{series}, 1 process", "≤ 1 ms", format("%.2f ms", one), one <= 1),
       Goal.new("#{series}, #{@plan.crowd} processes", "≤ 1 ms", format("%.2f ms", crowd), crowd <= 1),
       Goal.new("the same", "independent of processes: within 1.25 × of one", format("%.2f ×", crowd / one),
                crowd / one <= 1.25),
       streamed]
    end

    def streamed
      stream = @found.stream
      measured = format("%<extra>.0f MB at most, for a page of %<page>.0f MB in %<seconds>.2f s",
                        extra: stream[:extra] / 1e6, page: stream[:bytes] / 1e6, seconds: stream[:cpu])
      Goal.new("#{Report.thousands(@plan.streamed)} series streamed", "in extra memory of less than the page", measured,
               stream[:extra] < stream[:bytes])
    end

    def memory
      memory = @found.memory.fetch("Ours")
      [["arena", :shared, 256], ["index of each process", :own, 200]].map do |place, key, most|
        Goal.new("a counter series with 2 labels, #{place}", "≤ #{most} bytes", format("%.0f", memory.fetch(key)),
                 memory.fetch(key) <= most)
      end
    end
  end
end
