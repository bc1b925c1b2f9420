# frozen_string_literal: true

# What this application measures, beside what it gets unasked (requests, jobs, processes).
module Metrics
  PLANNED = TaskerTelemetry.counter(:audit_planned_total, "Packages put on the list to audit", labels: %i[why])
  TASKS   = TaskerTelemetry.counter(:audit_tasks_total, "Packages audited, by what was found", labels: %i[outcome])
  BYTES   = TaskerTelemetry.counter(:audit_read_bytes_total, "Bytes read to verify checksums", unit: "bytes")
  STEPS   = TaskerTelemetry.histogram(:audit_step_duration_seconds, "Time that each step of an audit took",
                                      labels: %i[step], buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10])
  DEPTH   = TaskerTelemetry.gauge(:audit_queue_depth, "Audits that wait for the job process")
end

# Asked for when somebody looks, in the process that is asked. Nothing has to keep the gauge up to date.
TaskerTelemetry.collect { Metrics::DEPTH.set(QueuedJob.waiting.count) }
