# frozen_string_literal: true

require "logger"
require "stringio"

# What became of samples that were refused.
module Refusals
  # Runs the block with a log of its own and gives the lines that it got.
  def logged
    log = StringIO.new
    configure do |config|
      config.strict = false
      config.logger = Logger.new(log, formatter: ->(_, _, _, message) { "#{message}\n" })
    end
    TaskerTelemetry::Log.reset
    yield
    log.string.lines(chomp: true)
  end

  # How many samples were dropped for that reason, in all.
  def dropped(reason)
    TaskerTelemetry.status.dig(:metrics, :dropped).fetch(reason.to_s)
  end
end

RSpec.configure { |config| config.include Refusals }
