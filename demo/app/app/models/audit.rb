# frozen_string_literal: true

# What is known about one package.
class Audit < ApplicationRecord
  scope :done, -> { where.not(outcome: nil) }
end
