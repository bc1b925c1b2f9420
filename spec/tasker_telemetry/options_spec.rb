# frozen_string_literal: true

RSpec.describe TaskerTelemetry::Options do
  # What a user may write and what the generated initializer explains are one list.
  it "has exactly the options that the generated initializer explains" do
    template = File.read("#{RubyProcess::ROOT}/lib/generators/tasker_telemetry/install/templates/initializer.rb")
    written = template.scan(/^  # config\.([a-z_.]+) = /).flatten
    expect(written).to eq(paths(TaskerTelemetry::Configuration))
  end

  it "accepts every value that the generated initializer shows" do
    template = File.read("#{RubyProcess::ROOT}/lib/generators/tasker_telemetry/install/templates/initializer.rb")
    switched_on = template.gsub(/^  # (config\.[a-z_.]+ = )/, '  \1')
    environment = { "RACK_ENV" => "test", "METRICS_TOKEN" => "one", "METRICS_PASSWORD" => "two",
                    "COLLECTOR_KEY" => "three" }
    outcome = run_ruby("require 'tasker_telemetry'\n#{switched_on}\nputs TaskerTelemetry.config.endpoint.path",
                       env: environment)
    expect(outcome.out).to eq("/metrics\n"), outcome.to_s
  end

  def paths(type, prefix = "")
    type.options.keys.map { |name| "#{prefix}#{name}" } +
      type.groups.flat_map { |name, group| paths(group, "#{prefix}#{name}.") }
  end
end
