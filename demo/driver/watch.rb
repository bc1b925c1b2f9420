# frozen_string_literal: true

module Demo
  # The work while it goes on, as Prometheus sees it.
  class Watch
    def initialize(prometheus, planned)
      @prometheus = prometheus
      @planned = planned
      @started = @moved = Wait.now
      @done = 0
    end

    def done?
      @done == @planned
    end

    # @return [Float] seconds since the last audit ended
    def still_for
      Wait.now - @moved
    end

    def look
      done = @prometheus.total("audit_tasks_total")
      @moved = Wait.now if done > @done
      @done = done
      Terminal.progress(line)
    end

    def close
      Terminal.end_progress(line)
    end

    private

    def line
      format("%<seconds>3d s   %<requests>6d requests answered   %<done>d of %<planned>d packages audited, " \
             "%<wrong>d with findings   %<waiting>d waiting",
             seconds: Wait.now - @started, done: @done, planned: @planned,
             requests: @prometheus.total("http_requests_total"),
             wrong: @prometheus.total('audit_tasks_total{outcome!="intact"}'),
             waiting: @prometheus.total("audit_queue_depth"))
    end
  end
end
