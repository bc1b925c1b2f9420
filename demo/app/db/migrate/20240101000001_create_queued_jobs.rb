# frozen_string_literal: true

class CreateQueuedJobs < ActiveRecord::Migration[6.1]
  def change
    create_table :queued_jobs do |t|
      t.text :payload, null: false
      t.float :run_at, null: false
      t.float :claimed_at
      t.float :failed_at
      t.string :error
    end
    add_index :queued_jobs, %i[claimed_at run_at]
  end
end
