# frozen_string_literal: true

class AuditsController < ApplicationController
  def index
    render json: { waiting: QueuedJob.waiting.count, outcomes: Audit.done.group(:outcome).count }
  end

  # The audit and its job are written together: neither is ever there without the other. The task begins here, where it
  # is asked for; the job process ends it.
  def create
    audit = Audit.transaction { Audit.create!(package: params.require(:package)).tap { |created| begin_task(created) } }
    render json: audit, status: :accepted
  end

  def show
    audit = Audit.find_by(package: params[:package])
    audit ? render(json: audit) : head(:not_found)
  end

  private

  def begin_task(audit)
    events = AuditEvents.new(audit.package)
    events.task("initialize_requested")
    events.task("start_requested")
    AuditJob.perform_later(audit.package)
  end
end
