# frozen_string_literal: true

require "json"

# What processes of an application counted.
module Counted
  # Prints the snapshot as {name => {label values, separated by spaces => value}}; of histograms the count.
  TELL = <<~'RUBY'
    totals = TaskerTelemetry.snapshot.to_h.transform_values do |series|
      series.to_h { |labels, value| [labels.values.join(" "), value.is_a?(Hash) ? value[:count] : value] }
    end
    $stdout.puts "counted #{totals.to_json}"
  RUBY

  # Runs code in a process that has booted the application, and gives what its arena holds afterwards.
  def counted(application, code = "", **settings)
    outcome = application.boot("#{code}\n#{TELL}", **settings)
    JSON.parse(outcome.out[/^counted (.*)/, 1] || raise(outcome.to_s))
  end
end

RSpec.configure { |config| config.include Counted }
