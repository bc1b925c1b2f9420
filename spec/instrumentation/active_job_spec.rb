# frozen_string_literal: true

require "active_job"

RSpec.describe "The instrumentation of Active Job" do
  around { |example| Application.open { |application| (@application = application) && example.run } }

  # Performs what was enqueued when it is told to.
  adapter = <<~'RUBY'
    class Shelf
      def jobs = @jobs ||= []
      def enqueue(job) = jobs.push(job.serialize)
      def enqueue_at(job, _at) = jobs.push(job.serialize)
      def enqueue_after_transaction_commit? = false
      def perform = jobs.shift(jobs.size).each { |data| ActiveJob::Base.execute(data) rescue nil }
    end
    SHELF = Shelf.new
    ActiveJob::Base.queue_adapter = SHELF
  RUBY

  it "counts what is enqueued, retried, given up and discarded" do
    totals = counted(@application, <<~RUBY)
      #{adapter}
      class Broken < Shelf
        def enqueue(_job) = raise("no queue")
      end
      class RefusedJob < ActiveJob::Base
        before_enqueue { throw :abort }
        def perform = nil
      end
      class UnreachableJob < ActiveJob::Base
        self.queue_adapter = Broken.new
        def perform = nil
      end
      %w[good bad again unwanted].each { |fate| WorkJob.perform_later(fate) }
      WorkJob.set(wait: 60, queue: "later").perform_later("good")
      RefusedJob.perform_later
      begin
        UnreachableJob.perform_later
      rescue RuntimeError
        nil
      end
      4.times { SHELF.perform }
    RUBY
    expect(totals["jobs_enqueued_total"]).to eq(
      "WorkJob work enqueued" => 6, "WorkJob later enqueued" => 1, "RefusedJob default aborted" => 1,
      "UnreachableJob default failed" => 1
    )
    expect(totals["job_retries_total"]).to eq("WorkJob work" => 2)
    expect(totals["job_retries_exhausted_total"]).to eq("WorkJob work" => 1)
    expect(totals["job_discards_total"]).to eq("WorkJob work" => 1)
    expect(totals["jobs_total"]).to eq("WorkJob work completed" => 1, "WorkJob later completed" => 1,
                                       "WorkJob work failed" => 2, "WorkJob work retried" => 2,
                                       "WorkJob work discarded" => 1)
    expect(totals["job_latency_seconds"]).to eq("work" => 6, "later" => 1)
  end

  it "counts each of many that are enqueued at once" do
    skip "since Rails 7.1" if ActiveJob.version < Gem::Version.new("7.1")
    totals = counted(@application, "#{adapter}\nActiveJob.perform_all_later(Array.new(3) { WorkJob.new('good') })")
    expect(totals["jobs_enqueued_total"]).to eq("WorkJob work enqueued" => 3)
  end

  it "measures from when a job was due until it runs" do
    outcome = @application.boot(<<~RUBY)
      #{adapter}
      require "active_support/testing/time_helpers"
      include ActiveSupport::Testing::TimeHelpers
      now = Time.now
      at = ->(seconds, &block) { travel_to(now + seconds, &block) }
      at.call(-100) { WorkJob.perform_later("good") }
      at.call(-400) { WorkJob.set(wait: 300, queue: "later").perform_later("good") }
      at.call(500) { WorkJob.set(queue: "ahead").perform_later("good") }
      SHELF.perform
      WorkJob.set(queue: "at once").perform_now("good") rescue WorkJob.new("good").perform_now
      TaskerTelemetry.snapshot.to_h.fetch("job_latency_seconds").each do |labels, value|
        puts [labels[:queue], value[:count], value[:sum].round].join(" ")
      end
    RUBY
    seconds = outcome.out.lines.to_h { |line| [line.split[0], line.split[1, 2].map(&:to_i)] }
    expect(seconds).to match("work" => [1, be_between(99, 130)], "later" => [1, be_between(99, 130)],
                             "ahead" => [1, 0]), outcome.to_s
  end

  it "keeps names of queues bounded" do
    totals = counted(@application, <<~RUBY)
      #{adapter}
      300.times { |number| WorkJob.set(queue: "tenant_\#{number}").perform_later("good") }
    RUBY
    expect(totals["jobs_enqueued_total"].size).to eq(101)
    expect(totals["jobs_enqueued_total"]).to include("WorkJob __other__ enqueued" => 200)
  end

  it "is silent when it is switched off" do
    totals = counted(@application, "#{adapter}\nWorkJob.perform_later('good')\nSHELF.perform",
                     env: { "SWITCHED_OFF" => "active_job" })
    expect(totals.keys.grep(/job/)).to be_empty
  end
end
