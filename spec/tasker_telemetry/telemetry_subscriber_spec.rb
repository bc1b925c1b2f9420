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

  it "takes names as Strings and as Symbols, one or several" do
    TaskerTelemetry.events.map("cart.*", backends: :metrics)
    expect(TaskerTelemetry.events.listen_to(publisher, "cart.one")).to eq(["cart.one"])
    expect(TaskerTelemetry.events.listen_to(publisher, :"cart.two")).to eq(["cart.two"])
    expect(TaskerTelemetry.events.listen_to(publisher, [:"cart.two", "cart.three", "cart.two"]))
      .to eq(%w[cart.two cart.three])
    publisher.blocks.each_value { |block| block.call({}) }
    totals = TaskerTelemetry.snapshot.to_h.slice("cart_one_total", "cart_two_total", "cart_three_total")
    expect(totals.values.flat_map(&:values)).to eq([1, 1, 1])
  end

  describe "to a publisher that is listened to by whatever names are known" do
    let(:publisher) { EventPublisher.new("shelf.filled", "shelf.emptied", :"shelf.moved", "box.opened") }

    def publish(*names)
      names.each { |name| publisher.publish(name) }
      TaskerTelemetry.snapshot.to_h.select { |name,| name.match?(/\A(shelf|box)_.*_total\z/) }.keys
    ensure
      TaskerTelemetry.reset!
    end

    let(:events) { ["shelf.filled", "shelf.emptied", :"shelf.moved", "box.opened"] }

    it "listens to what a glob fits" do
      TaskerTelemetry.events.map("shelf.*", backends: :metrics)
      described_class.subscribe(publisher)
      expect(publish(*events)).to contain_exactly("shelf_filled_total", "shelf_emptied_total", "shelf_moved_total")
    end

    it "listens to what is mapped or registered later" do
      described_class.subscribe(publisher)
      expect(publish(*events)).to be_empty
      TaskerTelemetry.events.map("shelf.filled", backends: :metrics)
      expect(publish(*events)).to contain_exactly("shelf_filled_total")
      TaskerTelemetry.events.map("shelf.*", backends: :metrics).register("box.opened")
      expect(publish(*events))
        .to contain_exactly("shelf_filled_total", "shelf_emptied_total", "shelf_moved_total", "box_opened_total")
      expect(publisher.__bus__.listeners.transform_values(&:size).values).to all eq(1)
    end

    it "keeps none of them" do
      gone = Array.new(20) do
        forgotten = EventPublisher.new("shelf.filled")
        described_class.subscribe(forgotten)
        ObjectSpace::WeakMap.new.tap { |map| map[forgotten] = forgotten }
      end
      eventually { GC.start || gone.any? { |map| map.size.zero? } }
    end
  end
end
