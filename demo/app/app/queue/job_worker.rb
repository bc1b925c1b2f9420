# frozen_string_literal: true

require "io/wait"

# The job process: threads that take jobs from the table until the process is told to end.
class JobWorker
  POLL = 0.1 # seconds between looks at an empty queue

  def initialize(threads:)
    @threads = threads
    @ended, @end = IO.pipe
  end

  # Returns after TERM or INT, when the jobs that run have ended.
  def run
    %w[TERM INT].each { |signal| trap(signal) { @end.close unless @end.closed? } }
    QueuedJob.release_claims
    Array.new(@threads) { Thread.new { work } }.each(&:join)
  end

  private

  def work
    Rails.application.executor.wrap { perform_next } || wait until ended?
  end

  def perform_next
    job = QueuedJob.claim or return false
    begin
      ActiveJob::Base.execute(JSON.parse(job.payload))
      job.destroy!
    rescue StandardError => e
      job.update!(failed_at: Time.now.to_f, error: "#{e.class}: #{e.message}")
    end
    true
  end

  def wait
    @ended.wait_readable(POLL)
  end

  # The pipe's other end is closed by the signal handler, so that waiting ends at once.
  def ended?
    !@ended.wait_readable(0).nil?
  end
end
