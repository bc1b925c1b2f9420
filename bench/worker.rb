# frozen_string_literal: true

# Holds one subject and measures what it is asked to: `ruby bench/worker.rb NAME DIRECTORY`, a question in JSON per line
# of standard input, an answer in JSON per line of standard output.

require "json"
require_relative "common"
require_relative "subjects"
Dir[File.join(__dir__, "worker", "*.rb")].each { |file| require file }

module Bench
  module Worker
    # Answers the questions of one run.
    class Answers
      def initialize(subject)
        @subject = subject
        @crowd = Crowd.new(subject)
        @costs = Hash.new { |costs, call| costs[call] = cost(*call) }
      end

      def title
        @subject.class.title
      end

      # Tells where a collector takes traces, before anything is called.
      def trace_to(endpoint)
        @subject.trace_to(endpoint)
        nil
      end

      def calls
        @calls ||= @subject.calls
      end

      def works
        calls.keys
      end

      def calibrate(work, seconds)
        @costs[calls.fetch(work)].calibrate(seconds)
      end

      def call(work, times)
        @costs[calls.fetch(work)].measure(times)
      end

      def calibrate_shared(seconds)
        @costs[shared].calibrate(seconds)
      end

      def threads(count, times)
        Together.threads(@costs[shared], count, times)
      end

      def processes(count, times)
        Together.processes(@costs[shared], count, times)
      end

      def count(series)
        @crowd.count(series)
        nil
      end

      def crowd(members, series)
        @crowd.grow(members, series)
        nil
      end

      def leave
        @crowd.leave
        nil
      end

      # What each page took, and its size.
      def scrape(pages)
        bytes = nil
        times = Array.new(pages) { Bench.timed { bytes = @subject.page.bytesize } }
        { times: times, bytes: bytes }
      end

      def stream
        bytes = times = nil
        extra = Memory.peak_above { times = Bench.timed { bytes = @subject.stream } }
        { **times, bytes: bytes, extra: extra }
      end

      # Bytes per series: shared by all processes, and of each.
      def memory(series)
        # What is taken once, and Ruby's own room for the garbage of as many calls, shall be there before.
        warm = [series / 10, 100].min
        (series / warm).times { @crowd.count(warm) }
        before = taken
        @crowd.count(series)
        taken.to_h { |kind, bytes| [kind, (bytes - before.fetch(kind)) / (series - warm).to_f] }
      end

      private

      # What a subject sends by a thread of its own is flushed.
      def cost(receiver, code)
        return CallCost.new(receiver, code) unless @subject.respond_to?(:flush)

        SentCost.new(receiver, code, @subject)
      end

      def taken
        { shared: @subject.shared_bytes, own: Memory.private_bytes }
      end

      def shared
        @shared ||= @subject.shared_call
      end
    end
  end
end

$stdout.sync = true
answer = ->(value) { $stdout.puts(JSON.generate(value)) }
begin
  answers = Bench::Worker::Answers.new(Bench::Subjects.fetch(ARGV.fetch(0)).new(ARGV.fetch(1)))
  answer.call(title: answers.title)
rescue LoadError => e
  answer.call(absent: e.message.lines.first.chomp)
  exit
end
while (question = $stdin.gets)
  answer.call(answers.public_send(*JSON.parse(question)))
end
