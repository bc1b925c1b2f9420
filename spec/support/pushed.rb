# frozen_string_literal: true

# Processes that push metrics, and what a collector has been told of them over time.
module Pushed
  OWN = /\A(tasker_telemetry|http|ruby|process)_/

  module_function

  # The beginning of a process that counts into the arena of a room's processes.
  def pushing(room, endpoint, interval: 0.3, protocol: :http_protobuf, more: "")
    <<~RUBY
      TaskerTelemetry.configure do |config|
        config.service_name = "shop"
        config.metrics.arena = "#{room.directory}/arena"
        config.metrics.otlp.enabled = true
        config.metrics.otlp.endpoint = #{endpoint.inspect}
        config.metrics.otlp.protocol = #{protocol.inspect}
        config.metrics.otlp.interval = #{interval.inspect}
        config.logger = Logger.new(File::NULL)
        #{more}
      end
      ORDERS = TaskerTelemetry.counter(:orders_total, "Orders placed", labels: %i[status])
      DEPTH = TaskerTelemetry.gauge(:queue_depth, "Jobs waiting", labels: %i[queue])
      LATENCY = TaskerTelemetry.histogram(:checkout_seconds, "Time to check out", unit: :seconds, buckets: [0.1, 1])
      def status = TaskerTelemetry.status[:export][:otlp]
    RUBY
  end

  # How many pushes of each process were taken.
  def pushes(processes)
    processes.to_h { |process| [process, process.run("status[:pushed]")] }
  end

  # Those of them that push while there are so many pushes more.
  def pushers(processes, count = 4)
    before = pushes(processes)
    counts = {}
    eventually(within: 60, every: 0.05) do
      counts = pushes(processes).to_h { |process, pushed| [process, pushed - before.fetch(process)] }
      counts.values.sum >= count
    end
    counts.select { |_, pushed| pushed.positive? }.keys
  end

  # The newest of the totals that the application counts, {[name, labels] => value}, of a histogram the count, the sum
  # and the counts by upper bound.
  def pushed_totals(metrics)
    metrics.reject { |metric| metric.name.match?(OWN) }.each_with_object({}) do |metric, totals|
      metric.points.each do |point|
        totals[[metric.name, point.attributes]] = point.buckets ? [point.count, point.sum, point.buckets] : point.value
      end
    end
  end

  # What a page says of the same.
  def page_totals(page)
    samples = parse_page(page, :openmetrics).reject { |(name, _), _| name.match?(OWN) || name.end_with?("_created") }
    buckets, rest = samples.partition { |(name, _), _| name.end_with?("_bucket") }
    of = buckets.group_by { |(name, labels), _| [name.delete_suffix("_bucket"), labels.except("le")] }
    of.each_with_object(rest.to_h) do |((name, labels), bounds), totals|
      totals[[name, labels]] = [totals.delete(["#{name}_count", labels]), totals.delete(["#{name}_sum", labels]),
                                by_bound(bounds)]
    end
  end

  # Every total of every push in the order of their times, {[arena, name, labels] => [[start, total], …]}.
  def courses(metrics)
    courses = metrics.select { |metric| metric.temporality == :cumulative }.flat_map { |metric| cumulative(metric) }
    courses.sort_by { |_, time, _| time }.group_by(&:first).transform_values { |course| course.map(&:last) }
  end

  def cumulative(metric)
    metric.points.map do |point|
      series = [metric.resource["service.instance.id"], metric.name, point.attributes]
      [series, point.time_ns, [point.start_ns, point.count || point.value]]
    end
  end

  # The series that begin anew, or of which a total falls.
  def fallen(metrics)
    courses(metrics).reject do |_, course|
      course.each_cons(2).all? { |(start, total), (later, more)| start == later && total <= more }
    end
  end

  def by_bound(buckets)
    before = 0
    counts = buckets.map { |(_, labels), value| [labels["le"] == "+Inf" ? Float::INFINITY : labels["le"].to_f, value] }
    counts.sort.to_h { |bound, count| [bound, (count - before).to_i].tap { before = count } }
  end
end

RSpec.configure { |config| config.include Pushed }
