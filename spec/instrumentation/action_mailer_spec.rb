# frozen_string_literal: true

RSpec.describe "The instrumentation of Action Mailer" do
  around { |example| Application.open { |application| (@application = application) && example.run } }

  let(:env) { { "LIBRARIES" => "action_mailer/railtie" } }

  script = <<~'RUBY'
    class OrderMailer < ActionMailer::Base
      default from: "shop@example.com", to: "secret@example.com"

      def placed = mail(subject: "Placed") { |format| format.text { render plain: "placed" } }
      def shipped = mail(subject: "Shipped") { |format| format.text { render plain: "shipped" } }
      def nothing = nil
      def action_missing(_name) = placed
    end
    class Broken
      def initialize(_settings) = nil
      attr_accessor :settings
      def deliver!(_mail) = raise("no server")
    end
    ActionMailer::Base.add_delivery_method(:broken, Broken)
    2.times { OrderMailer.placed.deliver_now }
    OrderMailer.shipped.deliver_now
    OrderMailer.nothing.deliver_now
    # Whatever somebody asks for is no label.
    unknown = OrderMailer.new
    unknown.process("whatever")
    unknown.message.deliver
    begin
      OrderMailer.shipped.tap { |mail| mail.delivery_method(:broken) rescue mail.message.delivery_method(Broken, {}) }.deliver_now
    rescue RuntimeError
      nil
    end
    OrderMailer.shipped.tap { |mail| mail.message.perform_deliveries = false }.deliver_now
    OrderMailer.placed.deliver_later
  RUBY

  it "counts what is delivered and what fails, by mailer and action" do
    totals = counted(@application, script, env: env.merge("QUEUE_ADAPTER" => "inline"))
    expect(totals["mails_delivered_total"]).to eq("OrderMailer placed" => 3, "OrderMailer shipped" => 1,
                                                  "OrderMailer " => 1)
    expect(totals["mail_failures_total"]).to eq("OrderMailer shipped" => 1)
    expect(totals["mail_delivery_duration_seconds"]).to eq("OrderMailer placed" => 3, "OrderMailer shipped" => 2,
                                                           "OrderMailer " => 1)
    expect(totals.to_s).not_to match(/secret|whatever/)
  end

  it "is silent when it is switched off" do
    totals = counted(@application, script, env: env.merge("QUEUE_ADAPTER" => "inline",
                                                          "SWITCHED_OFF" => "action_mailer"))
    expect(totals.keys.grep(/mail/)).to be_empty
  end
end
