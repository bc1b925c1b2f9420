# frozen_string_literal: true

require "tasker_telemetry/report"

# The Rakefile of an application may ask for them beside the Railtie: each is to run once all the same.
return if Rake::Task.task_defined?("tasker_telemetry:status")

namespace :tasker_telemetry do
  # Rails' task, where there is one: the application's initializers say which arena to look at.
  prerequisites = Rake::Task.task_defined?(:environment) || defined?(Rails) ? [:environment] : []

  desc "Show how the telemetry is (FORMAT=json for programs)"
  task status: prerequisites do
    TaskerTelemetry::Report.run("status") { |report| report.status(ENV.fetch("FORMAT", "text")) }
  end

  desc "List the events that are known, and what becomes of them (FORMAT=json for programs)"
  task events: prerequisites do
    TaskerTelemetry::Report.run("events") { |report| report.events(ENV.fetch("FORMAT", "text")) }
  end

  namespace :events do
    desc "Forget which transitions were told, as the ids of a new database begin again"
    task forget: prerequisites do
      TaskerTelemetry::Report.run("events:forget", &:forget)
    end
  end

  desc "Print what was counted (prometheus, openmetrics, json or csv; OUTPUT=file)"
  task :export_now, [:format] => prerequisites do |_task, arguments|
    TaskerTelemetry::Report.run("export_now") do |report|
      report.export(arguments.fetch(:format, "prometheus"), ENV.fetch("OUTPUT", nil))
    end
  end
end
