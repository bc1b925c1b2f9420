# frozen_string_literal: true

require "tasker_telemetry/instrumentation/queue_time"
require "tasker_telemetry/instrumentation/routed_action"

module TaskerTelemetry
  # Counts every answered request: `use TaskerTelemetry::Middleware`. A Rails application has it by itself, outermost.
  #
  # Requests are counted before {#call} returns, so before the first byte of the answer leaves: whoever was answered
  # finds the request counted. The duration ends there as well; what a streaming body takes afterwards is not in it.
  # The endpoint's own scrapes are requests like any other.
  class Middleware
    LABELS = %i[controller action method status].freeze
    METHODS = %w[GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT].to_h { |verb| [verb, verb] }.freeze
    OTHER = "OTHER"
    STATUSES = [nil, "1xx", "2xx", "3xx", "4xx", "5xx"].freeze
    # A request whose status only its server knows: the connection was hijacked, or the application threw.
    UNKNOWN = ""
    # In the env while a request is counted: of two in one stack, such as one in config.ru and that of Rails, the outer
    # one counts.
    COUNTING = "tasker_telemetry.counting"

    # A counter and a histogram with the same labels.
    Pair = Struct.new(:total, :duration) do
      # @private
      def record(seconds)
        total.increment
        duration.observe(seconds)
      end
    end
    private_constant :LABELS, :METHODS, :OTHER, :STATUSES, :UNKNOWN, :COUNTING, :Pair

    # Declares what is counted.
    #
    # @api private
    # @return [Pair] of the instruments themselves
    def self.instruments
      Pair.new(TaskerTelemetry.counter(:http_requests_total, "Requests answered", labels: LABELS),
               TaskerTelemetry.histogram(:http_request_duration_seconds, "Time from request to answer",
                                         labels: LABELS, unit: :seconds))
    end

    def initialize(app)
      @app = app
      @instruments = self.class.instruments
      @queue_time = Instrumentation::QueueTime.new
      @pairs = {}
      @room = TaskerTelemetry.config.metrics.max_series
    end

    # @param env [Hash] Rack's
    # @return [Array] Rack's response
    def call(env)
      return @app.call(env) if env[COUNTING]

      count(env.frozen? ? env.dup : env)
    end

    private

    def count(env)
      started = Clock.now
      env[COUNTING] = true
      @queue_time.observe(env)
      # The method that came over the wire: middleware further in may rewrite it.
      verb = METHODS.fetch(env["REQUEST_METHOD"], OTHER)
      span = Tracing::Requests.start(env, verb)
      status = nil
      outside = Correlation.enter(env)
      response = @app.call(env)
      status = response[0].to_i
      response
    rescue Exception => e # rubocop:disable Lint/RescueException -- whatever it is, the server answers 500
      status = 500
      raise
    ensure
      env.delete(COUNTING)
      Correlation.leave(outside)
      record(env, verb, status, started, span, e)
    end

    def status_class(status)
      status&.between?(100, 599) ? STATUSES[status / 100] : UNKNOWN
    end

    def record(env, verb, status, started, span, error)
      controller, action = Instrumentation::RoutedAction.of(env["action_controller.instance"])
      pair_of(controller, action, verb, status_class(status)).record(Clock.now - started)
      return unless span

      name = controller.empty? ? verb : "#{verb} #{controller}##{action}"
      Tracing::Requests.finish(span, env, name, status, error)
    rescue StandardError => e
      Log.limited(:middleware, :error) { "a request could not be counted: #{Failure.describe(e)}" }
    end

    # A bound pair costs its lookup once. The table is as bounded as the series are.
    def pair_of(controller, action, verb, status)
      actions = (@pairs[controller] ||= {})
      statuses = ((actions[action] ||= {})[verb] ||= {})
      statuses[status] || bind(statuses, controller: controller, action: action, method: verb, status: status)
    end

    def bind(statuses, labels)
      pair = Pair.new(@instruments.total.with(**labels), @instruments.duration.with(**labels))
      return pair if @room.zero?

      @room -= 1
      statuses[labels[:status]] = pair
    end
  end
end
