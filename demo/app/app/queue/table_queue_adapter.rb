# frozen_string_literal: true

# ActiveJob's jobs in a table of the application's own database, for an application that needs no more.
class TableQueueAdapter
  def enqueue(job)
    enqueue_at(job, Time.now.to_f)
  end

  def enqueue_at(job, timestamp)
    QueuedJob.create!(payload: JSON.generate(job.serialize), run_at: timestamp)
  end

  # Asked by Rails 7.2. The table is part of the transaction, so there is nothing to wait for.
  def enqueue_after_transaction_commit?
    false
  end
end
