# frozen_string_literal: true

class AuditJob < ApplicationJob
  queue_as :audits

  def perform(package)
    AuditWorkflow.new(package).run
  end
end
