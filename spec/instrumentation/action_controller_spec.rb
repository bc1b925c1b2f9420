# frozen_string_literal: true

RSpec.describe "The instrumentation of Action Controller" do
  around { |example| Application.open { |application| (@application = application) && example.run } }

  script = <<~'RUBY'
    require "rack/mock"
    class Order < ActiveRecord::Base; end
    ActiveRecord::Base.connection.create_table(:orders) { |table| table.string :name }
    class OrdersController < ActionController::Base
      def index
        Order.connection.select_value("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) " \
                                      "SELECT max(i) FROM n")
        render inline: "<%= Process.clock_gettime(0).then { |from| nil until Process.clock_gettime(0) > from + 0.02 } %>"
      end

      def silent
        head :no_content
      end

      def failing
        Order.count
        raise "on purpose"
      end
    end
    Rails.application.routes.draw do
      get "orders/:action", controller: "orders"
      get "anything/:action", controller: "anything"
    end
    mock = Rack::MockRequest.new(Rails.application)
    2.times { mock.get("/orders/index") }
    mock.get("/orders/silent")
    mock.get("/orders/failing")
    mock.get("/anything/whatever")
    mock.get("/nowhere")
    sums = %w[view database].map do |part|
      durations = TaskerTelemetry.snapshot.to_h.fetch("http_request_#{part}_duration_seconds")
      durations.fetch({ controller: "orders", action: "index" })[:sum]
    end
    requests = TaskerTelemetry.snapshot.to_h.fetch("http_request_duration_seconds")
    puts [*sums, requests.fetch({ controller: "orders", action: "index", method: "GET", status: "2xx" })[:sum]].to_json
  RUBY

  it "tells the time in views and in the database, of actions that had any" do
    outcome = @application.boot("#{script}\n#{Counted::TELL}", env: { "LIBRARIES" => "active_record/railtie" })
    totals = JSON.parse(outcome.out[/^counted (.*)/, 1] || raise(outcome.to_s))
    expect(totals["http_request_view_duration_seconds"]).to eq("orders index" => 2, "anything " => 1)
    expect(totals["http_request_database_duration_seconds"])
      .to include("orders index" => 2, "orders failing" => 1, "anything " => 1)
    view, database, whole = JSON.parse(outcome.out[/^\[.*/])
    expect(view).to be_between(0.04, whole)
    expect(database).to be_positive
    expect(view + database).to be <= whole
  end

  it "is silent when it is switched off, and where there is no database it tells none of it" do
    totals = counted(@application, "Rack::MockRequest.new(Rails.application).get('/show')",
                     env: { "SWITCHED_OFF" => "action_controller" })
    expect(totals["http_requests_total"]).to eq("pages show GET 2xx" => 1)
    expect(totals.keys.grep(/view|database/)).to be_empty
    totals = counted(@application, "Rack::MockRequest.new(Rails.application).get('/show')")
    expect(totals["http_request_view_duration_seconds"]).to eq("pages show" => 1)
    expect(totals).not_to include("http_request_database_duration_seconds")
  end
end
