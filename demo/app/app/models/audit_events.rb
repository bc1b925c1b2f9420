# frozen_string_literal: true

# What happens to one audit, told in the words of the workflow engine: the audit is the task. The gem makes metrics and
# spans of it, and finds by the ids what belongs together, whichever process tells it.
class AuditEvents
  def initialize(package)
    @task = { task_id: package, task_name: "package_audit", namespace: "debian" }
  end

  def task(event, **payload)
    TaskerTelemetry.instrument("task.#{event}", { **@task, **payload })
  end

  # Runs an attempt at a step, and tells its beginning and its end.
  def step(name, attempt)
    about = { **@task, step_id: "#{@task[:task_id]}/#{name}", step_name: name, attempt_number: attempt }
    TaskerTelemetry.instrument("step.execution_requested", about)
    result = yield
    TaskerTelemetry.instrument("step.completed", about)
    result
  rescue StandardError => e
    TaskerTelemetry.instrument("step.failed", { **about, exception_object: e })
    raise
  end

  def retried(name, attempt)
    about = { **@task, step_id: "#{@task[:task_id]}/#{name}", step_name: name, attempt_number: attempt }
    TaskerTelemetry.instrument("step.retry_requested", about)
  end
end
