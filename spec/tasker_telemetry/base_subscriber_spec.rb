# frozen_string_literal: true

RSpec.describe TaskerTelemetry::BaseSubscriber do
  # A class that notes in `told` which of its methods were called.
  def subscriber(*events, handlers: [], parent: described_class, &body)
    told = self.told
    Class.new(parent) do
      subscribe_to(*events) unless events.empty?
      handlers.each { |name| define_method(name) { |*arguments| told << [name, *arguments] } }
      class_eval(&body) if body
    end
  end

  def subscribe(type, publisher = nil)
    type.subscribe(publisher).tap { |instance| subscribed << instance }
  end

  def publish(name, **payload, &)
    TaskerTelemetry.instrument(name, payload, &)
  end

  let(:told) { [] }
  let(:subscribed) { [] }

  after { subscribed.each(&:unsubscribe) }

  it "leaves every other name to the application" do
    names = %i[prepare receive attach attach_to detach replace forget payload_of told_times tag_of between read call]
    type = subscriber("base.named") do
      names.each { |name| define_method(name) { |order| order.fetch(:own) } }
      define_method(:initialize) { @publisher = @filters = @handlers = @label = @sink = @subscriptions = :own }
      define_method(:handle_base_named) do |event|
        [names.map { |name| __send__(name, { own: name }) } == names, instance_variables.size, timing(event)[:duration],
         metric_tags(event)[:task], error_info(event)[:class]]
      end
    end
    seen = told
    type.prepend(Module.new { define_method(:handle_base_named) { |event| seen << super(event) } })
    [nil, EventPublisher.new("base.named")].each do |publisher|
      subscribe(type, publisher)
      publisher ? publisher.publish("base.named", duration: 2) : publish("base.named", duration: 2, task_name: "t")
    end
    expect(told).to eq([[true, 6, 2.0, "t", nil], [true, 6, 2.0, "", nil]])
  end

  describe "the method for an event" do
    it "is found whatever dots and underscores its name has" do
      names = %w[base.completed base.line_item.added step.retry_requested observability.step.max_retries_reached]
      handlers = names.map { |name| :"handle_#{name.tr(".", "_")}" }
      subscribe(subscriber(*names, handlers: handlers))
      names.each { |name| publish(name, name: name) }
      expect(told.map(&:first)).to eq(handlers)
      expect(told.map { |_, event| event.name }).to eq(names)
    end

    it "may be private" do
      seen = told
      subscribe(subscriber("base.private") do
        private

        define_method(:handle_base_private) { |event| seen << event[:n] }
      end)
      publish("base.private", n: 5)
      expect(told).to eq([5])
    end

    it "is missing when there is none, and what to write is said" do
      type = subscriber("base.first", "base.line_item.added", handlers: [:handle_base_first])
      expect { type.subscribe }.to raise_error(
        TaskerTelemetry::SubscriptionError,
        /base\.line_item\.added.*handle_base_line_item_added\(event\) nor handle_event\(name, payload\)/
      )
      publish("base.first")
      expect(told).to be_empty
    end

    it "is handle_event where there is no other" do
      subscribe(subscriber("base.any", "base.own", handlers: %i[handle_event handle_base_own]))
      publish("base.any", n: 1)
      publish("base.own", n: 2)
      expect(told).to match([[:handle_event, "base.any", { n: 1 }], [:handle_base_own, TaskerTelemetry::Event]])
    end

    it "cannot be that of two events" do
      expect { subscriber("a.b_c", "a_b.c", handlers: [:handle_a_b_c]).subscribe }.to raise_error(
        TaskerTelemetry::SubscriptionError, /handle_a_b_c of .* would be the method for a\.b_c and a_b\.c/
      )
      subscribe(subscriber("a.b_c", "a_b.c", handlers: [:handle_event]))
      %w[a.b_c a_b.c].each { |name| publish(name) }
      expect(told.map { |_, name| name }).to eq(%w[a.b_c a_b.c])
    end

    it "is not found for a class without events" do
      expect { subscriber.subscribe }.to raise_error(TaskerTelemetry::SubscriptionError, /names no event/)
    end
  end

  describe "a pattern" do
    it "covers dots, and brings each event once, though it is named as well" do
      subscribe(subscriber("base.*", "base.paid", "*.paid", handlers: %i[handle_base_paid handle_event]))
      %w[base.paid base.line_item.added other.paid other.sent base].each { |name| publish(name) }
      expect(told.map { |handler, event| [handler, event.is_a?(String) ? event : event.name] })
        .to eq([[:handle_base_paid, "base.paid"], [:handle_event, "base.line_item.added"],
                [:handle_event, "other.paid"]])
    end

    it "handles the events that there are methods for" do
      subscribe(subscriber("base.*", handlers: [:handle_base_line_item_added]))
      %w[base.line_item.added base.sent].each { |name| publish(name) }
      expect(told.map(&:first)).to eq([:handle_base_line_item_added])
    end

    it "needs at least one" do
      expect { subscriber("base.*", handlers: [:handle_other]).subscribe }
        .to raise_error(TaskerTelemetry::SubscriptionError, /base\.\*.*handle_event\(name, payload\)/)
    end

    it "does not take the method of a name that looks like its own" do
      subscribe(subscriber("a.b_c", "a_b.*", handlers: %i[handle_a_b_c handle_event]))
      %w[a.b_c a_b.c].each { |name| publish(name) }
      expect(told.map(&:first)).to eq(%i[handle_a_b_c handle_event])
    end

    it "is no regular expression" do
      subscribe(subscriber("base.(x|y)+.*", handlers: [:handle_event]))
      ["base.x.1", "base.(x|y)+.1"].each { |name| publish(name) }
      expect(told.size).to eq(1)
    end
  end

  describe ".subscribe_to" do
    it "is inherited, and adds nothing to ancestors or siblings" do
      parent = subscriber("base.one", handlers: [:handle_event])
      first = subscriber("base.two", parent: parent)
      second = subscriber("base.three", :"base.one", parent: parent)
      expect([parent, first, second].map(&:subscribed_events))
        .to eq([%w[base.one], %w[base.one base.two], %w[base.one base.three]])
      expect(described_class.subscribed_events).to be_empty
      subscribe(first)
      %w[base.one base.two base.three].each { |name| publish(name) }
      expect(told.map { |_, name| name }).to eq(%w[base.one base.two])
    end

    [[], [nil], [""], ["two words"], ["line\nbreak"], [5], [/order/]].each do |names|
      it "refuses #{names.inspect}" do
        expect { Class.new(described_class) { subscribe_to(*names) } }.to raise_error(ArgumentError, /event/)
      end
    end
  end

  describe "filters" do
    it "are asked for each event, and all must agree" do
      wanted = true
      parent = subscriber("base.filtered", handlers: [:handle_base_filtered]) { filter_events { |_, _| wanted } }
      child = subscriber(parent: parent) do
        filter_events { |name, payload| name.end_with?("filtered") && payload[:n] > 1 }
      end
      [parent, child].each { |type| subscribe(type) }
      publish("base.filtered", n: 1)
      expect(told.size).to eq(1)
      publish("base.filtered", n: 2)
      expect(told.size).to eq(3)
      wanted = false
      publish("base.filtered", n: 2)
      expect(told.size).to eq(3)
    end

    it "need a block" do
      expect { Class.new(described_class) { filter_events } }.to raise_error(ArgumentError, /block/)
    end

    it "may be a method of the instance" do
      subscribe(subscriber("base.asked", handlers: [:handle_base_asked]) do
        protected

        define_method(:should_process?) { |event| event[:n].odd? }
      end)
      3.times { |n| publish("base.asked", n: n) }
      expect(told.map { |_, event| event[:n] }).to eq([1])
    end

    it "that raise let nothing through, and are counted" do
      lines = logged do
        subscribe(subscriber("base.broken", handlers: [:handle_base_broken]) do
          filter_events { raise NotImplementedError }
        end)
        publish("base.broken")
      end
      expect(told).to be_empty
      expect(lines.grep(/base.broken: NotImplementedError/).size).to eq(1)
    end
  end

  describe "an event" do
    it "comes with its payload and its times" do
      subscribe(subscriber("base.timed", handlers: [:handle_base_timed]))
      before = Time.now
      publish("base.timed", n: 1) { |payload| payload[:late] = 2 }
      event = told.dig(0, 1)
      expect(event.payload).to eq(n: 1, late: 2)
      expect(event.started).to be_between(before, event.finished)
      expect([event.duration, event.id]).to match([be >= 0, be_a(String)])
    end

    it "does not reach who publishes when its handler raises" do
      stub_const("RaisingSubscriber", subscriber("base.raises") do
        define_method(:handle_base_raises) { |event| raise event[:error] }
      end)
      errors = TaskerTelemetry::OwnMetrics::SUBSCRIBER_ERRORS.with(subscriber: "RaisingSubscriber")
      before = errors.value
      lines = logged do
        subscribe(RaisingSubscriber)
        [RuntimeError.new("token=hunter2"), NotImplementedError.new, SystemStackError.new].each do |error|
          expect(publish("base.raises", error: error) { :value }).to eq(:value)
        end
        expect { publish("base.raises", error: Interrupt.new("^C")) }.to raise_error(Interrupt)
      end
      expect(errors.value - before).to eq(3)
      expect(lines).to eq(["tasker_telemetry: RaisingSubscriber raised on the event base.raises: " \
                           "RuntimeError: token=[FILTERED]"])
    end
  end

  describe ".subscribe" do
    it "takes the place of the same class, and of one of the same name" do
      make = -> { subscriber("base.reloaded", handlers: [:handle_base_reloaded]) }
      stub_const("ReloadedSubscriber", make.call)
      2.times { subscribe(ReloadedSubscriber) }
      publish("base.reloaded")
      expect(told.size).to eq(1)
      stub_const("ReloadedSubscriber", make.call)
      subscribe(ReloadedSubscriber)
      publish("base.reloaded")
      expect(told.size).to eq(2)
    end

    it "leaves what is subscribed when the new class is not fit for it" do
      stub_const("FaultySubscriber", subscriber("base.faulty", handlers: [:handle_base_faulty]))
      subscribe(FaultySubscriber)
      stub_const("FaultySubscriber", subscriber("base.faulty"))
      expect { FaultySubscriber.subscribe }.to raise_error(TaskerTelemetry::SubscriptionError)
      publish("base.faulty")
      expect(told.size).to eq(1)
    end

    it "keeps classes without a name apart" do
      2.times { subscribe(subscriber("base.nameless", handlers: [:handle_base_nameless])) }
      publish("base.nameless")
      expect(told.size).to eq(2)
    end

    it "ends with unsubscribe, which may be called twice" do
      instance = subscribe(subscriber("base.ended", "base.*", handlers: [:handle_event]))
      2.times { instance.unsubscribe }
      publish("base.ended")
      expect(told).to be_empty
      expect(instance).to be_a(described_class)
    end

    it "may be done by many threads while others publish" do
      stub_const("ContendedSubscriber", subscriber("base.contended", handlers: [:handle_event]))
      publisher = Thread.new { 2_000.times { publish("base.contended") } }
      Array.new(4) { Thread.new { 10.times { subscribe(ContendedSubscriber) } } }.each(&:join)
      publisher.join
      told.clear
      publish("base.contended")
      expect(told.size).to eq(1)
    end
  end

  describe "a publisher" do
    let(:publisher) { EventPublisher.new("order.paid", "order.line_item.added", "step.failed") }

    it "is listened to instead of the bus" do
      subscribe(subscriber("order.paid", handlers: [:handle_order_paid]), publisher)
      publish("order.paid", n: 1)
      publisher.publish("order.paid", n: 2)
      expect(told.map { |_, event| [event[:n], event.started, event.duration] }).to eq([[2, nil, nil]])
    end

    it "is asked for what fits a pattern" do
      subscribe(subscriber("order.*", handlers: [:handle_event]), publisher)
      %w[order.paid order.line_item.added step.failed].each { |name| publisher.publish(name) }
      expect(told.map { |_, name| name }).to eq(%w[order.paid order.line_item.added])
    end

    it "must tell its events then" do
      quiet = Object.new.tap { |object| object.define_singleton_method(:subscribe) { |_| nil } }
      expect { subscriber("order.*", handlers: [:handle_event]).subscribe(quiet) }
        .to raise_error(TaskerTelemetry::SubscriptionError, /order\.\*.*does not tell which events it has/)
    end

    it "may lack some of the events, which is said, but not all" do
      lines = logged { subscribe(subscriber("order.paid", "order.gone", handlers: [:handle_event]), publisher) }
      expect(lines).to match([/EventPublisher does not let .* subscribe to order\.gone .*not registered/])
      expect { subscriber("order.gone", handlers: [:handle_event]).subscribe(publisher) }
        .to raise_error(TaskerTelemetry::SubscriptionError, /order\.gone/)
    end

    it "is left alone after unsubscribe, and told once after a reload" do
      stub_const("PublishedSubscriber", subscriber("order.paid", handlers: [:handle_event]))
      3.times { subscribe(PublishedSubscriber, publisher) }
      publisher.publish("order.paid")
      expect(told.size).to eq(1)
      subscribed.last.unsubscribe
      publisher.publish("order.paid")
      expect(told.size).to eq(1)
    end

    it "does not see what a handler raises" do
      lines = logged do
        stub_const("ListeningSubscriber", subscriber("order.paid") { def handle_order_paid(_event) = raise("no") })
        subscribe(ListeningSubscriber, publisher)
        subscribe(subscriber("order.paid", handlers: [:handle_event]), publisher)
        publisher.publish("order.paid")
      end
      expect(lines.grep(/ListeningSubscriber raised/).size).to eq(1)
      expect(told.size).to eq(1)
    end
  end
end
