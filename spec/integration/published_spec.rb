# frozen_string_literal: true

require "active_support"
require "active_support/notifications"

RSpec.describe "Events that ActiveSupport publishes", :collector do
  bus = ActiveSupport::Notifications

  before do
    TaskerTelemetry.reset!
    trace_to(@collector)
    TaskerTelemetry.events.map("published.*", backends: %i[metrics traces], labels: :of)
  end

  after { TaskerTelemetry.events.reset! }

  def series(name)
    TaskerTelemetry.snapshot.to_h.fetch(name)
  end

  it "are taken with their times, though no start was told" do
    finished = Time.now
    bus.publish("published.timed", finished - 2, finished, "id", { of: "times" })
    bus.publish("published.clocked", 10.0, 10.5, "id", { of: "a monotonic clock" })
    bus.publish("step.completed", finished - 3, finished, "id", { task_id: 1, step_id: 2, step_name: "s" })
    expect(series("published_timed_total")).to eq({ { of: "times" } => 1 })
    expect(series("published_timed_duration_seconds").values.first[:sum]).to eq(2.0)
    expect(series("published_clocked_duration_seconds").values.first[:sum]).to eq(0.5)
    spans = sent(3).to_h { |span| [span.name[/\S+/], span] }
    expect(spans["published.timed"].end_ns).to eq((finished.to_r * 1_000_000_000).to_i)
    expect(spans.transform_values(&:duration)).to eq("published.timed" => 2.0, "published.clocked" => 0.5,
                                                     "step" => 3.0)
  end

  it "happen now where they bring none, or what are none" do
    bus.publish("published.now", { of: "a payload" })
    bus.publish("published.now", "no payload")
    bus.publish("published.now")
    bus.publish("published.now", Time.now, Time.now - 1, "id", { of: "the future" })
    bus.publish("published.now", "a", nil, "id", { of: "no times" })
    bus.publish("published.now", 0, Float::INFINITY, "id", { of: "no end" })
    bus.publish("published.now", 0, 1e300, "id", { of: "no beginning" })
    bus.publish(:"published.now", { of: "a Symbol" })
    expect(series("published_now_total").transform_keys { |labels| labels[:of] })
      .to eq("a payload" => 1, "" => 2, "the future" => 1, "no times" => 1, "no end" => 1, "no beginning" => 1,
             "a Symbol" => 1)
    expect(sent(8).map(&:duration)).to all eq(0.0)
  end

  it "may bear a Symbol for a name, as those around a block" do
    bus.instrument(:"published.symbol", of: "a block") { TaskerTelemetry.span("inside") { nil } }
    bus.instrument(7, of: "no name") { nil }
    expect(series("published_symbol_total")).to eq({ { of: "a block" } => 1 })
    inside, published = sent(2)
    expect([published.name, inside.parent_id]).to eq(["published.symbol", published.span_id])
  end

  it "are taken whole, from versions that have such" do
    skip "ActiveSupport #{ActiveSupport::VERSION::STRING} has none" unless bus.respond_to?(:publish_event)

    event = ActiveSupport::Notifications::Event.new("published.whole", nil, nil, "id", { of: "an event" })
    event.record { nil }
    bus.publish_event(event)
    expect(series("published_whole_total")).to eq({ { of: "an event" } => 1 })
  end
end
