# frozen_string_literal: true

require "json"

# Pages as others read them.
module ReferenceParser
  CHECKER = File.expand_path("openmetrics.py", __dir__)

  # The samples of a page by the parsers of prometheus_client: {[name, labels] => value}.
  def parse_page(page, format)
    parse_samples(page, format).each_with_object({}) do |(name, labels, value), samples|
      raise "#{name} #{labels} is there twice" if samples.key?([name, labels])

      samples[[name, labels]] = value
    end
  end

  # The exemplars of an OpenMetrics page, each with labels, value and time: {[name, labels] => [labels, value, time]}.
  def parse_exemplars(page)
    parse_samples(page, :openmetrics).filter_map do |name, labels, _, exemplar|
      [[name, labels], exemplar] if exemplar
    end.to_h
  end

  # What promtool has to say against a page; nothing is the best.
  def promtool(page)
    outcome = run_command("promtool", "check", "metrics", input: page)
    "#{outcome.out}#{outcome.err}#{"failed" unless outcome.success?}"
  end

  private

  def parse_samples(page, format)
    # Debian's Python, which has the parser as a package.
    outcome = run_command("/usr/bin/python3", CHECKER, format.to_s, input: page)
    raise outcome.to_s unless outcome.success?

    JSON.parse(outcome.out).flat_map { |family| family["samples"] }
  end
end

RSpec.configure { |config| config.include ReferenceParser }
