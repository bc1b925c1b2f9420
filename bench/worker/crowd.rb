# frozen_string_literal: true

module Bench
  module Worker
    # Series with two labels of realistic length, and processes that have counted into all of them and are still there.
    class Crowd
      def initialize(subject)
        @subject = subject
        @members = []
      end

      def count(series)
        # A hundred values of one label, as many as it takes of the other; the same Strings for all, as applications
        # have them, so that memory holds what the subject keeps.
        statuses = Array.new(100) { |n| "status-#{n}" }
        (0...series).each_slice(statuses.size) do |slice|
          queue = "queue-#{slice.first / statuses.size}"
          slice.each_with_index { |_, n| @subject.count(statuses[n], queue) }
        end
      end

      def grow(members, series)
        ready, readied = IO.pipe
        gate, @opener = IO.pipe
        @members = Array.new(members) do
          fork do
            @opener.close
            count(series)
            readied.write("r")
            gate.read
            exit!(0)
          end
        end
        gate.close
        readied.close
        raise "a member of the crowd failed" unless ready.read(members)&.size == members

        ready.close
      end

      def leave
        @opener&.close
        @members.each { |member| Process.wait(member) }
        @members = []
      end
    end
  end
end
