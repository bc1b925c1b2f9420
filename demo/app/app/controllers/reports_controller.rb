# frozen_string_literal: true

class ReportsController < ApplicationController
  REPORTS = { "failures" => -> { Audit.done.where.not(outcome: "intact").limit(20) } }.freeze

  # Whoever asks for a report that nobody wrote meets the exception that an oversight like this one leads to.
  def show
    render json: REPORTS.fetch(params[:name]).call
  end
end
