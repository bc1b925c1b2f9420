# frozen_string_literal: true

# Tasker's own gem owns `Tasker::Telemetry`. An application may have both.
RSpec.describe "Beside Tasker's own constants" do
  tasker = <<~RUBY
    module Tasker
      module Telemetry
        class MetricsBackend; end
        class EventRouter; end
        class TelemetrySubscriber; end
        def self.configure = raise("not this one")
      end
    end
  RUBY
  work = <<~RUBY
    TaskerTelemetry.configure { |config| config.service_name = "shop" }
    TaskerTelemetry.instrument("task.completed", task_id: 7, task_name: "order")
    puts TaskerTelemetry.export(:prometheus).lines.grep(/\\Atask_completed_total/)
    puts [Tasker::Telemetry::MetricsBackend, TaskerTelemetry::MetricsBackend].uniq.size
  RUBY
  counted = %(task_completed_total{task_name="order",namespace=""} 1\n2\n)

  { "before" => "#{tasker}require 'tasker_telemetry'\n#{work}",
    "after" => "require 'tasker_telemetry'\n#{tasker}#{work}" }.each do |order, script|
    it "works when those are loaded #{order} it" do
      outcome = run_ruby(script, env: { "RACK_ENV" => "test" })
      expect(outcome.out).to eq(counted), outcome.to_s
    end
  end
end
