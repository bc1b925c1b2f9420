# frozen_string_literal: true

# Every option is here, commented out, with its default (or an example, where the default is nothing). An option that
# is not set, or set to nil, keeps its default. A mistyped one raises.
# After the first sample, service_name, environment, metrics.arena and metrics.prefix are fixed.
TaskerTelemetry.configure do |config|
  # The application's name. Processes with the same name and environment count together, whatever release they are of.
  # Default: OTEL_SERVICE_NAME, else the name of the Rails application.
  # config.service_name = "shop"

  # Default: Rails.env.
  # config.environment = "production"

  # true: a bad sample (a wrong label, a negative increment, not a number) raises TaskerTelemetry::InvalidSample.
  # false: it is counted in tasker_telemetry_dropped_samples_total and logged, now and then.
  # Default: true in development and test.
  # config.strict = false

  # Where the gem's own words go. Default: Rails.logger.
  # config.logger = Logger.new($stderr)

  # What spans, logs and errors must not show: names, Regexps and callables, as Rails' config.filter_parameters, to
  # which these are added.
  # config.filter_parameters = [:iban]

  # What stands in its place.
  # config.filter_mask = "[FILTERED]"

  # false makes every instrument a no-op, and the endpoint answers 503.
  # config.metrics.enabled = true

  # The file that all processes count into: an absolute path on a local file system, :memory (private to this process
  # and its forks; the default in tests), or :auto, a file in shared memory, else in tmp/.
  # config.metrics.arena = :auto

  # "tasker" turns :orders_total into tasker_orders_total.
  # config.metrics.prefix = "tasker"

  # Labels on every series of this process.
  # config.metrics.default_labels = { region: "eu" }

  # How many series a metric may have. Samples of further label sets are counted in one overflow series.
  # config.metrics.max_series = 10_000

  # After how many seconds without a write a series is removed. Default: never.
  # config.metrics.idle_expiry = 86_400

  # Pushes the machine's metrics to a collector by OTLP, from one of its processes. What is not set here is taken from
  # OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT and the like).
  # config.metrics.otlp.enabled = true
  # config.metrics.otlp.endpoint = "http://localhost:4318"
  # config.metrics.otlp.protocol = :http_protobuf # or :grpc
  # config.metrics.otlp.headers = { "x-api-key" => ENV.fetch("COLLECTOR_KEY") }

  # Seconds between two pushes. Default: OTEL_METRIC_EXPORT_INTERVAL, else 60.
  # config.metrics.otlp.interval = 60

  # Mounts the endpoint that Prometheus reads. Protect it: in production one that is open to everyone warns.
  # config.endpoint.path = "/metrics"

  # Who may read: who sends `Authorization: Bearer <token>` ...
  # config.endpoint.token = ENV.fetch("METRICS_TOKEN")

  # ... or this name and password by basic authentication (either credential is enough, if both are set) ...
  # config.endpoint.username = "prometheus"
  # config.endpoint.password = ENV.fetch("METRICS_PASSWORD")

  # ... from these networks only, by the address of the connection itself (behind a proxy that is the proxy's) ...
  # config.endpoint.allow = ["127.0.0.1", "10.0.0.0/8"]

  # ... and only if this says so. It is given the Rack env.
  # config.endpoint.authorize = ->(env) { env["HTTP_X_FORWARDED_FOR"].nil? }

  # Sends spans of requests, jobs and routed events to a collector by OTLP. As with the metrics, OpenTelemetry's own
  # variables say what is not set here.
  # config.traces.enabled = true
  # config.traces.endpoint = "http://localhost:4318"
  # config.traces.protocol = :http_protobuf # or :grpc
  # config.traces.headers = { "x-api-key" => ENV.fetch("COLLECTOR_KEY") }

  # The share of traces that is kept where nobody decided before. Default: OTEL_TRACES_SAMPLER_ARG, else 1.
  # config.traces.sample_ratio = 0.1

  # How many spans may wait to be sent. More are dropped, those of low priority first, and counted.
  # config.traces.queue_size = 2048

  # Requests made with Net::HTTP become spans, and carry the trace to whoever answers.
  # config.traces.net_http = true

  # true writes the events that are for the log as lines on the logger, each with the ids of its trace.
  # config.logs.enabled = false

  # What these lines look like: :json, or :key_value for `key=value`.
  # config.logs.format = :json

  # What is counted of the libraries that the application has, each by itself. The switches are read once, when the
  # initializers have run.
  # config.instrumentation.rack = true              # requests, and how long they waited in front of the application
  # config.instrumentation.action_controller = true # view and database time of actions
  # config.instrumentation.active_record = true     # statements by kind, connection pools
  # config.instrumentation.active_job = true        # jobs: runs, enqueuing, retries, latency
  # config.instrumentation.action_mailer = true     # deliveries of mails
  # config.instrumentation.active_storage = true    # operations of storage services
  # config.instrumentation.cache = true             # operations of cache stores, hits and misses
  # config.instrumentation.sidekiq = true           # Sidekiq's own jobs, queues, retries
  # config.instrumentation.puma = true              # threads and backlog of each worker

  # After how many seconds a process that serves, or performs Sidekiq's jobs, reads its pools, threads and queues again
  # without being scraped.
  # config.instrumentation.interval = 10
end
