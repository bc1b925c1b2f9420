# frozen_string_literal: true

module Bench
  module Worker
    # One call again and again, written out ten times per turn of the loop so that the loop costs next to nothing.
    class CallCost
      UNROLLED = 10

      def initialize(receiver, code)
        @receiver = receiver
        # Parsed as a file with frozen literals, as most applications' are.
        source = ["# frozen_string_literal: true", "lambda do |it, times|", "turn = 0", "while turn < times",
                  *[code] * UNROLLED, "turn += #{UNROLLED}", "end", "end"].join("\n")
        @loop = eval(source, TOPLEVEL_BINDING, "(#{code})", 1) # rubocop:disable Security/Eval
      end

      # Calls `times` times, rounded up to whole turns.
      def run(times)
        @loop.call(@receiver, times)
      end

      # How many calls last `seconds`.
      def calibrate(seconds)
        times = 1_000
        loop do
          took = cpu { run(times) }
          return [(times * seconds / took).to_i, UNROLLED].max if took > seconds / 10

          times *= 4
        end
      end

      # Processor time, since others at work on the machine are none of the call's cost; and objects allocated.
      def measure(times)
        times = whole_turns(times)
        GC.start
        took = nil
        objects = objects { took = cpu { run(times) } }
        { ns: per_call(took, times), objects: (objects / times.to_f).round(2) }
      end

      private

      def whole_turns(times)
        (times + UNROLLED - 1) / UNROLLED * UNROLLED
      end

      def per_call(seconds, times)
        seconds * 1e9 / times
      end

      def objects
        before = GC.stat(:total_allocated_objects)
        yield
        GC.stat(:total_allocated_objects) - before
      end

      def cpu(&)
        Bench.timed(&).fetch(:cpu)
      end
    end
  end
end
