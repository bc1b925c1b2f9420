# frozen_string_literal: true

class CreateAudits < ActiveRecord::Migration[6.1]
  def change
    create_table :audits do |t|
      t.string :package, null: false, index: { unique: true }
      t.string :outcome # none until the audit is done
      t.string :detail
      t.integer :files
      t.integer :bytes, limit: 8
      t.float :seconds
      t.datetime :created_at, null: false
    end
  end
end
