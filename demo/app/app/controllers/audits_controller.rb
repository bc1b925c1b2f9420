# frozen_string_literal: true

class AuditsController < ApplicationController
  def index
    render json: { waiting: QueuedJob.waiting.count, outcomes: Audit.done.group(:outcome).count }
  end

  # The audit and its job are written together: neither is ever there without the other.
  def create
    audit = Audit.transaction do
      Audit.create!(package: params.require(:package)).tap { |created| AuditJob.perform_later(created.package) }
    end
    render json: audit, status: :accepted
  end

  def show
    audit = Audit.find_by(package: params[:package])
    audit ? render(json: audit) : head(:not_found)
  end
end
