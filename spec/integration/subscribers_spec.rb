# frozen_string_literal: true

RSpec.describe "Subscribers in a Rails application" do
  around { |example| Application.open { |application| (@application = application) && example.run } }

  attr_reader :application

  def printed(code, **settings)
    outcome = application.boot(<<~RUBY, **settings)
      require "rack/mock"
      APP = Rack::MockRequest.new(Rails.application)
      #{code}
    RUBY
    expect(outcome).to be_success, outcome.to_s
    outcome.out
  end

  it "are told of Rails' own events, with the id of the request" do
    expect(printed(<<~'RUBY')).to eq(%(["pages", "index", true, "req-7"]\n))
      class ActionSubscriber < TaskerTelemetry::BaseSubscriber
        subscribe_to "process_action.action_controller"
        def handle_process_action_action_controller(event)
          p [event[:controller].constantize.controller_path, event[:action], event.duration.positive?,
             TaskerTelemetry.correlation_id]
        end
      end
      ActionSubscriber.subscribe
      APP.get("/index", "HTTP_X_REQUEST_ID" => "req-7")
    RUBY
  end

  it "may have subscribed before there was Rails" do
    path = "#{application.directory}/config/application.rb"
    File.write(path, <<~'RUBY' + File.read(path))
      require "tasker_telemetry"
      SEEN = []
      TaskerTelemetry::Notifications.subscribe("process_action.action_controller") { |name, *| SEEN << name }
    RUBY
    expect(printed(%(APP.get("/index"); p SEEN), env: { "EARLY" => "1" }))
      .to eq(%(["process_action.action_controller"]\n))
  end

  it "do not disturb a request when they raise, and are reported where Rails takes reports" do
    out = printed(<<~'RUBY')
      class FaultySubscriber < TaskerTelemetry::BaseSubscriber
        subscribe_to "process_action.action_controller"
        def handle_event(_name, _payload) = raise(NotImplementedError, "no")
      end
      FaultySubscriber.subscribe
      reports = []
      if Rails.respond_to?(:error)
        reporter = Object.new
        reporter.define_singleton_method(:report) do |error, handled:, context:, **|
          reports << [error.message, handled, context[:subscriber]]
        end
        Rails.error.subscribe(reporter)
      end
      status = APP.get("/index").status
      errors = TaskerTelemetry.snapshot.to_h["tasker_telemetry_subscriber_errors_total"]
      expected = Rails.respond_to?(:error) ? [["no", true, "FaultySubscriber"]] : []
      p [status, errors[{ subscriber: "FaultySubscriber" }], reports == expected]
    RUBY
    expect(out).to eq("[200, 1, true]\n")
  end

  it "leave the log of the application with the ids of the trace" do
    File.write("#{application.directory}/config/initializers/tags.rb", <<~'RUBY')
      def TaskerTelemetry.current_trace = Struct.new(:trace_id, :span_id).new("a" * 32, "b" * 16)
      Rails.application.config.log_tags = [:request_id, *TaskerTelemetry::Logs.tags]
      Rails.logger = ActiveSupport::TaggedLogging.new(Logger.new(LOG = StringIO.new, level: :info))
    RUBY
    out = printed('APP.get("/index", "HTTP_X_REQUEST_ID" => "req-7"); puts LOG.string.lines.grep(/Started GET/)')
    expect(out).to include("[req-7] [trace_id=#{"a" * 32}] [span_id=#{"b" * 16}] Started GET")
  end
end
