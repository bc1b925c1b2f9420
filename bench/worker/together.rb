# frozen_string_literal: true

module Bench
  module Worker
    # Several threads or processes making one call at once. Each makes `times` calls; the answer is the wall time from
    # the first begin to the last end, divided by all calls of all of them, in ns.
    module Together
      module_function

      def threads(cost, count, times)
        gate = Queue.new
        threads = Array.new(count) do
          Thread.new do
            gate.pop
            cost.run(times)
            Bench.now
          end
        end
        start = Bench.now
        gate.close
        per_call(threads.map(&:value).max - start, count, times)
      end

      def processes(cost, count, times)
        ready, readied = IO.pipe
        gate, opener = IO.pipe
        ends, ended = IO.pipe
        children = Array.new(count) do
          fork do
            opener.close
            cost.run(1) # What a process does once, such as taking its place in the arena, is no cost of a call.
            readied.write("r")
            gate.read
            cost.run(times)
            ended.write([Bench.now].pack("D"))
            exit!(0)
          end
        end
        gate.close
        ready.read(count)
        start = Bench.now
        opener.close
        children.each { |child| Process.wait(child) }
        ended.close
        per_call(ends.read.unpack("D*").max - start, count, times)
      ensure
        [ready, readied, gate, opener, ends, ended].each(&:close)
      end

      def per_call(seconds, count, times)
        seconds * 1e9 / (count * times)
      end
    end
  end
end
