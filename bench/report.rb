# frozen_string_literal: true

require_relative "goals"
require_relative "machine"

module Bench
  # The results as a page of Markdown.
  class Report
    def self.thousands(number)
      number.to_s.gsub(/(\d)(?=(\d{3})+$)/, '\1 ')
    end

    def initialize(plan, found, loads)
      @plan = plan
      @found = found
      @loads = loads
    end

    def to_s
      [heading, goals, calls, traced, requests, flatness, pages, memory].join("\n")
    end

    private

    def heading
      absent = @found.absent.map { |name, why| "\n- #{name} was not measured: #{why}" }.join
      <<~TEXT
        # What it costs

        Written by `bin/bench`, which measures everybody in turns in one run; medians of #{@plan.rounds} rounds.

        - #{Machine.describe}
        - load average before and after: #{@loads.join("; ")}#{absent}
      TEXT
    end

    def goals
      rows = Goals.new(@plan, @found).to_a
      <<~TEXT
        ## Goals

        #{table(%w[work goal measured result], rows.map { |row| [*row.to_a.first(3), row.reached ? "reached" : "**missed**"] })}
      TEXT
    end

    def calls
      works = @found.calls.fetch("Empty") { @found.calls.fetch("Ours") }.keys
      rows = @found.calls.map do |name, calls|
        [title(name), *works.map { |work| (call = calls[work]) ? cost(call) : "–" }]
      end
      <<~TEXT
        ## Calls

        Processor time in ns per call, and objects allocated, with frozen string literals. The empty method is a native
        one without a body that is called with the same arguments: what Ruby itself takes, and so the limit.

        #{table(["", *works], rows)}
      TEXT
    end

    def cost(call, time = :ns, objects = :objects)
      number = call[objects].round(1)
      "#{call[time].round} (#{number == number.to_i ? number.to_i : number})"
    end

    def traced
      works = @found.traced.values.flat_map(&:keys).uniq
      rows = @found.traced.map { |name, calls| [title(name), *works.flat_map { |work| sending(calls[work]) }] }
      <<~TEXT
        ## Events and spans

        Processor time in ns, and objects allocated: in the thread that calls, and in all threads of the process until
        everything has been sent to a collector on this machine, in bursts of #{BURST} of which nothing is dropped. An event
        has 4 keys and no block; what it becomes is a count and a span. The empty subscriber is told of its beginning and
        end, and does nothing: what ActiveSupport itself takes, and so the limit.

        #{table(["", *works.flat_map { |work| [work, "#{work}, sent"] }], rows)}
      TEXT
    end

    def sending(call)
      call ? [cost(call), cost(call, :sent_ns, :sent_objects)] : ["–", "–"]
    end

    def requests
      calls = @found.requests.transform_values { |works| works.fetch("request") }
      bare = calls.fetch("BareRails")
      rows = calls.map do |name, call|
        [title(name), micro(call[:ns]), *added(call, bare, :ns), micro(call[:sent_ns]), *added(call, bare, :sent_ns),
         call[:objects].round]
      end
      <<~TEXT
        ## Requests

        Processor time in µs for a request that does nothing, through all of a Rails application but the server: in the
        thread that calls, and in all threads of the process until everything has been sent.

        #{table(["", "request", "added", "added %", "sent", "added", "added %", "objects"], rows)}
      TEXT
    end

    def micro(nanoseconds)
      format("%.1f", nanoseconds / 1000)
    end

    # In µs and in percent.
    def added(call, bare, key)
      more = call[key] - bare[key]
      call.equal?(bare) ? ["–", "–"] : [micro(more), format("%.1f", more * 100 / bare[key])]
    end

    def flatness
      columns = %i[threads processes].flat_map { |kind| @plan.public_send(kind).map { |count| [kind, count] } }
      rows = @found.flatness.map do |name, found|
        [title(name), *columns.map { |kind, count| found.fetch(kind).fetch(count).round }]
      end
      <<~TEXT
        ## Together

        Wall time in ns ÷ all calls of all threads or processes, which increment one counter: bound, or with labels in a
        constant Hash where there is no bound one. Threads share Ruby's lock, processes the machine's #{Machine.cores} cores.

        #{table(["", *columns.map { |kind, count| "#{count} #{count == 1 ? kind.to_s.sub(/e?s\z/, "") : kind}" }], rows)}
      TEXT
    end

    def pages
      rows = @found.pages.map do |name, found|
        [title(name), *[1, @plan.crowd].map { |count| milliseconds(found[count]) }, (found.fetch(1)[:bytes] / 1000)]
      end
      <<~TEXT
        ## Pages

        Milliseconds of processor time, and on the wall in parentheses, for the Prometheus text of
        #{Report.thousands(@plan.series)} counter series with 2 labels: in one process, and when #{@plan.crowd} living processes have counted into
        each of them.

        #{table(["", "1 process", "#{@plan.crowd} processes", "kB"], rows)}
      TEXT
    end

    def milliseconds(page)
      page ? format("%<cpu>.2f (%<wall>.2f)", **page.slice(:cpu, :wall).transform_values { |time| time * 1000 }) : "–"
    end

    def memory
      rows = @found.memory.map { |name, found| [title(name), found[:shared].round, found[:own].round] }
      <<~TEXT
        ## Memory

        Bytes per counter series with 2 labels, from #{Report.thousands(@plan.remembered)} of them: of files, for all processes
        together here and for each process in peers, and of the memory of each process.

        #{table(["", "files", "each process"], rows)}
      TEXT
    end

    def title(name)
      @found.titles.fetch(name)
    end

    def table(head, rows)
      [head, head.map { "---" }, *rows].map { |row| "| #{row.join(" | ")} |" }.join("\n")
    end
  end
end
