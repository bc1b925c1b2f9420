# frozen_string_literal: true

require "tasker_telemetry/rspec"

RSpec.describe TaskerTelemetry::RSpec do
  include described_class

  let(:orders) { TaskerTelemetry.counter(:rspec_spec_total, "Orders", labels: %i[status plan]) }
  let(:depth) { TaskerTelemetry.gauge(:rspec_spec_depth, "Depth", labels: %i[queue]) }
  let(:latency) { TaskerTelemetry.histogram(:rspec_spec_seconds, "Latency", labels: %i[plan]) }

  before do
    TaskerTelemetry.reset!
    [orders, depth, latency]
  end

  def order(status = "paid")
    orders.increment(status: status, plan: "pro")
  end

  def fail_with(message)
    raise_error(RSpec::Expectations::ExpectationNotMetError, message)
  end

  describe "increment_metric" do
    it "passes when the counter grew, whatever it was before" do
      order
      expect { order }.to increment_metric(:rspec_spec_total)
      expect { order }.to increment_metric(orders)
      expect { nil }.not_to increment_metric(:rspec_spec_total)
    end

    it "looks at the amount, which may be a matcher" do
      expect { 2.times { order } }.to increment_metric(:rspec_spec_total).by(2)
      expect { order }.to increment_metric(:rspec_spec_total).by(a_value < 2)
      expect { expect { order }.to increment_metric(:rspec_spec_total).by(2) }
        .to fail_with("expected the block to increment rspec_spec_total by 2, but it went from 3 to 4")
    end

    it "looks at the labels that are given, and takes the others together" do
      expect { %w[paid failed].each { |status| order(status) } }
        .to increment_metric(:rspec_spec_total).by(1).with(status: "paid")
        .and increment_metric(:rspec_spec_total).by(1).with(status: :failed)
        .and increment_metric(:rspec_spec_total).by(2).with(plan: "pro")
      expect { order("failed") }.not_to increment_metric(:rspec_spec_total).with(status: "paid")
      expect { expect { order }.not_to increment_metric(:rspec_spec_total).with(status: "paid") }
        .to fail_with('expected the block not to increment rspec_spec_total with status: "paid", ' \
                      "but it went from 1 to 2")
    end

    it "fails for a label that the metric has not, also where it expects nothing" do
      expect { expect { order }.not_to increment_metric(:rspec_spec_total).with(state: "paid") }
        .to raise_error(ArgumentError, "rspec_spec_total has no label :state; it has :status, :plan, :process")
    end

    it "sees what another process counts" do
      count_elsewhere = lambda do
        Process.wait(fork do
          order
          exit!(0)
        end)
      end
      expect(&count_elsewhere).to increment_metric(:rspec_spec_total).by(1)
    end
  end

  describe "set_metric" do
    it "passes when the value is another, or the one that is named" do
      expect { depth.set(7, queue: "mail") }.to set_metric(:rspec_spec_depth)
      expect { depth.set(7, queue: "mail") }.to set_metric(depth).to(7).with(queue: "mail")
      expect { depth.set(7, queue: "mail") }.not_to set_metric(:rspec_spec_depth)
      expect { expect { depth.set(8, queue: "mail") }.to set_metric(:rspec_spec_depth).to(9) }
        .to fail_with("expected the block to set rspec_spec_depth to 9, but the value is 8.0")
      expect { expect { nil }.to set_metric(:rspec_spec_depth).with(queue: "none") }
        .to fail_with('expected the block to set rspec_spec_depth with queue: "none", but there is no such series')
    end
  end

  describe "observe_metric" do
    it "passes when values were observed, or as many as are named" do
      expect { latency.observe(0.1, plan: "pro") }.to observe_metric(:rspec_spec_seconds)
      expect { 3.times { latency.observe(0.1, plan: "pro") } }.to observe_metric(latency).times(3).with(plan: "pro")
      expect { nil }.not_to observe_metric(:rspec_spec_seconds)
      expect { expect { nil }.to observe_metric(:rspec_spec_seconds).times(1) }
        .to fail_with("expected the block to observe rspec_spec_seconds 1 times, but it observed 0 values")
    end
  end

  it "does not pass for want of the metric" do
    expect { expect { nil }.not_to increment_metric(:rspec_spec_typo) }
      .to raise_error(ArgumentError, "no metric named rspec_spec_typo is declared")
    expect { expect { nil }.not_to set_metric(:rspec_spec_typo) }.to raise_error(ArgumentError)
  end

  it "accepts a metric that the block declares" do
    name = :"rspec_spec_#{rand(2**64)}_total"
    expect { TaskerTelemetry.counter(name).increment }.to increment_metric(name).by(1)
  end

  it "refuses a metric of another kind" do
    latency.observe(1, plan: "pro")
    expect { expect { nil }.to increment_metric(:rspec_spec_seconds) }
      .to raise_error(ArgumentError, "rspec_spec_seconds is a histogram, and cannot be seen to increment")
  end
end
