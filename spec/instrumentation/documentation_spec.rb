# frozen_string_literal: true

RSpec.describe "The documentation of the instrumentation" do
  around { |example| Application.open { |application| (@application = application) && example.run } }

  # The metrics of the section, as {name => [kind, labels]}.
  let(:documented) do
    text = File.read("#{RubyProcess::ROOT}/docs/METRICS.md")
    section = text[/^## What is counted without a line of code\n(.*?)\nOf every live process that shares the arena/m, 1]
    section.scan(/^\| `(\w+)` \| (\w+) \|([^|]*)\|/).to_h do |name, kind, labels|
      [name, [kind, labels.scan(/\w+/)]]
    end
  end

  it "names every metric with its kind and labels, and no other" do
    outcome = @application.boot(<<~'RUBY', env: { "LIBRARIES" => <<~LIBRARIES.tr("\n", " ") })
      require "puma/server"
      TaskerTelemetry::Instrumentation.install
      TaskerTelemetry::Instrumentation::Sidekiq::Server.declare
      TaskerTelemetry::Instrumentation::SidekiqQueues.send(:declare)
      [ActiveRecord::Base, ActiveJob::Base, ActionMailer::Base, ActionController::Base, Rails.application.app]
      declared = TaskerTelemetry::MetricsBackend.instance.instance_variable_get(:@declared)
      kinds = declared.transform_values do |metric|
        [metric.class.name.split("::").last.downcase, metric.label_names.map(&:to_s)]
      end
      puts JSON.generate(kinds.except("hits_total", "workers", "scrapes_answered"))
    RUBY
      active_record/railtie active_storage/engine action_mailer/railtie sidekiq puma
    LIBRARIES
    expect(documented.size).to be > 40
    expect(documented).to eq(JSON.parse(outcome.out)), outcome.to_s
  end
end
