# frozen_string_literal: true

# A job that waits, runs, or failed. One that succeeded is deleted.
class QueuedJob < ApplicationRecord
  scope :waiting, -> { where(claimed_at: nil) }

  CLAIM = <<~SQL.squish
    UPDATE queued_jobs SET claimed_at = :now
    WHERE id = (SELECT id FROM queued_jobs WHERE claimed_at IS NULL AND run_at <= :now ORDER BY id LIMIT 1)
    RETURNING id
  SQL

  # Takes the oldest job that is due, in one statement: no two threads or processes get the same one.
  #
  # @return [QueuedJob, nil]
  def self.claim
    id = connection.exec_query(sanitize_sql([CLAIM, { now: Time.now.to_f }]), "Claim").rows.dig(0, 0)
    id && find(id)
  end

  # What a killed job process had claimed waits again. For the start of the only job process.
  def self.release_claims
    where(failed_at: nil).where.not(claimed_at: nil).update_all(claimed_at: nil)
  end
end
