# frozen_string_literal: true

RSpec.describe TaskerTelemetry::Histogram do
  let(:histogram) { TaskerTelemetry.histogram(:instruments_spec_seconds, "Durations", labels: %i[plan]) }

  before { TaskerTelemetry.reset! }

  [["with labels", ->(histogram, &block) { histogram.time(plan: "pro", &block) }],
   ["bound", ->(histogram, &block) { histogram.with(plan: "pro").time(&block) }]].each do |name, time|
    describe "#time, #{name}" do
      it "gives what the block gives, and observes how long it took" do
        started = TaskerTelemetry::Clock.now
        expect(time.call(histogram) { :done }).to eq(:done)
        outer = TaskerTelemetry::Clock.now - started
        expect(histogram.value(plan: "pro")).to include(count: 1, sum: be_between(0, outer))
      end

      it "observes a block that raises or throws as well" do
        expect { time.call(histogram) { raise "on purpose" } }.to raise_error("on purpose")
        catch(:out) { time.call(histogram) { throw :out } }
        expect(histogram.value(plan: "pro")[:count]).to eq(2)
      end
    end
  end
end
