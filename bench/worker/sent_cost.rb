# frozen_string_literal: true

module Bench
  module Worker
    # The cost of a call that leaves something to be sent by another thread of the process: what the caller pays, and
    # what all threads pay until everything has been sent.
    class SentCost < CallCost
      def initialize(receiver, code, subject)
        super(receiver, code)
        @subject = subject
      end

      def run(times)
        bursts(times).times do
          super(BURST)
          @subject.flush
        end
      end

      def measure(times)
        GC.start
        callers = all = nil
        all_objects = objects { all = Bench.timed { callers = sum(bursts(times)) } }
        times = bursts(times) * BURST
        { ns: per_call(callers[:thread], times), objects: (callers[:objects] / times.to_f).round(2),
          sent_ns: per_call(all[:cpu], times), sent_objects: (all_objects / times.to_f).round(2) }
      end

      private

      def bursts(times)
        times.fdiv(BURST).ceil
      end

      # What the caller pays in as many bursts.
      def sum(bursts)
        seconds = allocated = 0
        bursts.times do
          allocated += objects { seconds += Bench.timed { @loop.call(@receiver, BURST) }[:thread] }
          @subject.flush
        end
        { thread: seconds, objects: allocated }
      end
    end
  end
end
