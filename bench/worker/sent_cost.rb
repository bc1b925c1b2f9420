# frozen_string_literal: true

module Bench
  module Worker
    # The cost of a call that leaves something to be sent by another thread of the process: what the caller pays, and
    # what all threads pay until everything has been sent.
    class SentCost < CallCost
      # Less than a batch of what is sent, so that no other thread allocates meanwhile.
      FEW = 100
      # What subjects have room for in their queues: nothing is dropped, and all that is measured is sent.
      MOST = 50_000
      QUEUE = 65_536

      def initialize(receiver, code, subject)
        super(receiver, code)
        @subject = subject
      end

      def calibrate(seconds)
        [super, MOST].min
      ensure
        @subject.flush
      end

      def measure(times)
        few = objects { run(FEW) } / FEW.to_f
        @subject.flush
        times = whole_turns(times)
        GC.start
        thread = nil
        all = nil
        all_objects = objects do
          all = Bench.timed do
            thread = Bench.timed { run(times) }
            @subject.flush
          end
        end
        { ns: per_call(thread[:thread], times), objects: few.round(2),
          sent_ns: per_call(all[:cpu], times), sent_objects: (all_objects / times.to_f).round(2) }
      end
    end
  end
end
