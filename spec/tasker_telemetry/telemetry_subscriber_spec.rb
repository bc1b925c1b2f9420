# frozen_string_literal: true

RSpec.describe TaskerTelemetry::TelemetrySubscriber do
  # Remembers its blocks by the name that they are for.
  let(:publisher) do
    Struct.new(:blocks) do
      def subscribe(name, &block) = blocks[name] = block
    end.new({})
  end

  after { TaskerTelemetry.events.reset! }

  it "takes the events that are named in from a publisher" do
    TaskerTelemetry.events.map("cart.emptied", backends: :metrics, labels: :reason)
    expect(described_class.subscribe(publisher, "cart.emptied", "cart.filled")).to eq(%w[cart.emptied cart.filled])
    publisher.blocks.fetch("cart.emptied").call({ reason: "bored" })
    totals = TaskerTelemetry.snapshot.to_h.fetch("cart_emptied_total")
    expect(totals).to eq({ { reason: "bored" } => 1 })
  end

  it "takes in what is known by name where none is named" do
    TaskerTelemetry.events.map("cart.sold", backends: :metrics)
    TaskerTelemetry.events.map("cart.*", backends: :metrics)
    known = TaskerTelemetry.events.catalogue.map { |event| event[:name] }
    expect(described_class.subscribe(publisher)).to match_array(known).and include("cart.sold", "task.failed")
    expect(publisher.blocks.keys).to match_array(known)
  end
end
