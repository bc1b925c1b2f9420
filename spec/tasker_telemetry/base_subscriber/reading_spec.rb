# frozen_string_literal: true

require "date"
require "timeout"

RSpec.describe TaskerTelemetry::BaseSubscriber::Reading do
  # The helpers are for the subscribers themselves.
  subject(:reader) { Class.new(TaskerTelemetry::BaseSubscriber).new }

  def read(helper, *arguments)
    reader.send(helper, *arguments)
  end

  def event(payload, took: nil)
    now = Time.at(1_700_000_000)
    TaskerTelemetry::Event.new("order.completed", payload, started: took && (now - took), finished: now)
  end

  it "are not for others" do
    %i[safe_get timing error_info metric_tags should_process?].each { |name| expect(reader).not_to respond_to(name) }
  end

  describe "safe_get" do
    it "finds values under Symbols and Strings, in events and payloads" do
      expect(read(:safe_get, { a: 1 }, "a")).to eq(1)
      expect(read(:safe_get, { "a" => false }, :a, 5)).to be(false)
      expect(read(:safe_get, event({ a: nil }), :a, 5)).to eq(5)
      expect(read(:safe_get, {}, :a)).to be_nil
    end
  end

  describe "timing" do
    started = Time.utc(2024, 1, 2, 3, 4, 5)
    completed = started + 90

    {
      { duration: 2 } => 2.0,
      { execution_duration: 5.25 } => 5.25,
      { "total_execution_duration" => 7r } => 7.0,
      { started_at: started, completed_at: completed } => 90.0,
      { started_at: started.iso8601, completed_at: completed.iso8601(3) } => 90.0,
      { started_at: started.to_i, transitioned_at: completed.to_f } => 90.0,
      { started_at: started.to_datetime, completed_at: completed } => 90.0,
      { duration: 1, started_at: started, completed_at: completed } => 1.0,
      { duration: Float::NAN, execution_duration: -1, total_execution_duration: "3" } => nil,
      { started_at: completed, completed_at: started } => nil,
      { started_at: "yesterday", completed_at: Float::NAN } => nil,
      {} => nil
    }.each do |payload, duration|
      it "reads #{payload}" do
        expect(read(:timing, payload)[:duration]).to eq(duration)
      end
    end

    it "is else that of the block that the event was published around" do
      expect(read(:timing, event({}, took: 1.5))).to eq(duration: 1.5, started_at: Time.at(1_700_000_000) - 1.5,
                                                        completed_at: Time.at(1_700_000_000))
      expect(read(:timing, event({ execution_duration: 3 }, took: 1.5))[:duration]).to eq(3.0)
      expect(read(:timing, event({ started_at: 1_699_999_990 }))).to include(duration: 10.0)
    end

    it "is unknown for one that was published without a block" do
      expect(read(:timing, event({}, took: 0.00001))).to eq(duration: nil, started_at: nil,
                                                            completed_at: Time.at(1_700_000_000))
    end
  end

  describe "error_info" do
    nothing = { class: nil, message: nil, attempt: nil, retryable: nil, category: "unknown" }
    error = Timeout::Error.new("slow, password=hunter2")

    {
      {} => {},
      { exception_object: error } =>
        { class: "Timeout::Error", message: "slow, password=[FILTERED]", category: "timeout" },
      { exception: %w[KeyError gone], exception_object: KeyError.new("gone") } =>
        { class: "KeyError", message: "gone", category: "runtime" },
      { exception: ["Errno::ECONNREFUSED", "refused"] } =>
        { class: "Errno::ECONNREFUSED", message: "refused", category: "network" },
      { exception_class: "ActiveRecord::RecordNotFound", error_message: "no order 7" } =>
        { class: "ActiveRecord::RecordNotFound", message: "no order 7", category: "not_found" },
      { "error_class" => "Shop::OddError" } => { class: "Shop::OddError", category: "other" },
      { error: error } => { class: "Timeout::Error", message: "slow, password=[FILTERED]", category: "timeout" },
      { error: ArgumentError } => { class: "ArgumentError", category: "runtime" },
      { error: "Net::HTTPServerError" } => { class: "Net::HTTPServerError", category: "server_error" },
      { error: "the store is down" } => { message: "the store is down" },
      { error: { code: 5 } } => {},
      { attempt_number: 3, retryable: false } => { attempt: 3, retryable: false },
      { attempt: 2, is_retryable: true, final_failure: true } => { attempt: 2, retryable: true },
      { final_failure: true } => { retryable: false }
    }.each do |payload, told|
      it "reads #{payload}" do
        expect(read(:error_info, payload)).to eq(nothing.merge(told))
      end
    end

    {
      "Faraday::TimeoutError" => "timeout", "Net::OpenTimeout" => "timeout", "Errno::ETIMEDOUT" => "timeout",
      "Redis::CannotConnectError" => "network", "OpenSSL::SSL::SSLError" => "network", "SocketError" => "network",
      "Faraday::ResourceNotFound" => "not_found", "Errno::ENOENT" => "not_found",
      "Pundit::NotAuthorizedError" => "auth", "Faraday::ForbiddenError" => "auth",
      "Stripe::RateLimitError" => "rate_limit", "Faraday::TooManyRequestsError" => "rate_limit",
      "Faraday::BadRequestError" => "client_error",
      "JSON::ParserError" => "client_error", "ActiveRecord::RecordInvalid" => "client_error",
      "Faraday::ServerError" => "server_error", "RuntimeError" => "runtime", "NoMethodError" => "runtime",
      "NotImplementedError" => "runtime", "Shop::OutOfStock" => "other", "" => "unknown"
    }.each do |name, category|
      it "takes #{name.inspect} for #{category}" do
        expect(read(:error_info, { error_class: name })[:category]).to eq(category)
      end
    end

    it "survives a message that raises, and bounds a long one" do
      broken = Class.new(StandardError) { def message = raise("no message") }.new
      expect(read(:error_info, { exception_object: broken })[:message]).to be_nil
      expect(read(:error_info, { error_message: "x" * 10_000 })[:message].length).to eq(1_000)
    end
  end

  describe "metric_tags" do
    it "are always the same, and bounded" do
      nothing = { task: "", step: "", namespace: "", environment: "test", source: "", priority: "", retryable: "" }
      expect(read(:metric_tags, {})).to eq(nothing)
      payload = { task_id: 7, "task_name" => :checkout, step_name: "x" * 500, namespace: nil, environment: "staging",
                  source: { deep: 1 }, priority: 5, retryable: false }
      expect(read(:metric_tags, event(payload)))
        .to eq(task: "checkout", step: "x" * 100, namespace: "", environment: "staging", source: "", priority: "5",
               retryable: "false")
    end
  end
end
