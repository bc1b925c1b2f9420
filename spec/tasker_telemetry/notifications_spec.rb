# frozen_string_literal: true

# Each example runs in a process of its own, once without ActiveSupport and once with it: the same must come out.
RSpec.describe TaskerTelemetry::Notifications do
  prelude = <<~'RUBY'
    $stdout.sync = true
    require "logger"
    require "tasker_telemetry"
    N = TaskerTelemetry::Notifications
    LOG = StringIO.new
    TaskerTelemetry.configure { |config| config.logger = Logger.new(LOG) }
    # Says what it is told.
    class Listener
      def initialize(told) = @told = told
      def start(name, id, payload) = @told << [:start, name, id, payload]
      def finish(name, id, payload) = @told << [:finish, name, id, payload]
    end
    def errors(subscriber)
      TaskerTelemetry.snapshot.to_h.fetch("tasker_telemetry_subscriber_errors_total", {})[{ subscriber: subscriber }]
    end
  RUBY

  def evented(requirement, prelude, code)
    outcome = run_ruby("#{requirement}#{prelude}#{code}", options: %w[-rstringio], env: { "RACK_ENV" => "test" })
    expect(outcome).to be_success, outcome.to_s
    outcome.out
  end

  contexts = { "without ActiveSupport" => "", "with ActiveSupport" => %(require "active_support"\n) }
  contexts.each do |context, requirement|
    describe context do
      define_method(:printed) { |code| evented(requirement, prelude, code) }

      it "is told by whose bus" do
        expect(printed("p N.bus.class, defined?(ActiveSupport::Notifications).nil?"))
          .to eq(requirement.empty? ? "TaskerTelemetry::Notifications::Bus\ntrue\n" : "Module\nfalse\n")
      end

      it "returns what the block returns, and gives it the payload" do
        expect(printed(<<~'RUBY')).to eq("[7, :done, [{:order_id=>7, :total=>12}, {:order_id=>7, :total=>12}], true]\n")
          unheard = TaskerTelemetry.instrument("unheard", id: 7) { |payload| payload[:id] }
          N.subscribe("order.completed", Listener.new(told = []))
          value = TaskerTelemetry.instrument("order.completed", order_id: 7) { |payload| payload[:total] = 12; :done }
          p [unheard, value, told.map(&:last), told[0][2] == told[1][2]]
        RUBY
      end

      it "takes an event without a block, by a Symbol, with a frozen payload" do
        expect(printed(<<~'RUBY')).to eq(%([[:start, "cleared"], [:finish, "cleared"]]\n[nil, "frozen"]\n))
          N.subscribe("cleared", Listener.new(told = []))
          TaskerTelemetry.instrument(:cleared)
          p told.map { |each| each.first(2) }
          N.subscribe("frozen") { |*, payload| $seen = payload }
          begin
            TaskerTelemetry.instrument("frozen", { id: 1 }.freeze) { raise "frozen" }
          rescue RuntimeError => e
            p [$seen[:frozen], e.message]
          end
        RUBY
      end

      it "notes an exception in the payload and lets it go on" do
        expect(printed(<<~'RUBY')).to eq(%([["ArgumentError", "no"], true, true]\n))
          N.subscribe("bad") { |*, payload| $seen = payload }
          begin
            TaskerTelemetry.instrument("bad") { raise ArgumentError, "no" }
          rescue ArgumentError => e
            p [$seen[:exception], $seen[:exception_object].equal?(e), e.backtrace_locations.size > 1]
          end
        RUBY
      end

      it "ends an event that is thrown out of" do
        expect(printed(<<~'RUBY')).to eq("[:start, :finish]\n5\n")
          N.subscribe("thrown", Listener.new(told = []))
          value = catch(:out) { TaskerTelemetry.instrument("thrown") { throw :out, 5 } }
          p told.map(&:first)
          p value
        RUBY
      end

      it "tells subscribers of a name, of a pattern, and of everything" do
        expect(printed(<<~'RUBY')).to eq("order.paid\norder.paid order.sent\norder.paid order.sent x\n")
          told = [[], [], []]
          N.subscribe("order.paid") { |name, *| told[0] << name }
          N.subscribe(/\Aorder\./) { |name, *| told[1] << name }
          N.subscribe { |name, *| told[2] << name }
          %w[order.paid order.sent x].each { |name| TaskerTelemetry.instrument(name) }
          told.each { |names| puts names.join(" ") }
        RUBY
      end

      it "tells a block the times of an event, nested ones too" do
        expect(printed(<<~'RUBY')).to eq("[true, true, true, true]\n")
          times = {}
          N.subscribe(/outer|inner/) { |name, started, finished, _id, _payload| times[name] = [started, finished] }
          clock = 100.0
          TaskerTelemetry::Clock.define_singleton_method(:now) { clock }
          TaskerTelemetry.instrument("outer") { clock += 1; TaskerTelemetry.instrument("inner") { clock += 0.25 } }
          durations = times.transform_values { |started, finished| finished - started }
          p [times["outer"].all?(Time), times["inner"].all?(Time), durations["outer"] == 1.25, durations["inner"] == 0.25]
        RUBY
      end

      it "keeps fibers and threads apart" do
        expect(printed(<<~'RUBY')).to eq("[[1, 1.0], [2, 2.0]]\n400\n")
          clock = 0.0
          TaskerTelemetry::Clock.define_singleton_method(:now) { clock }
          seen = []
          N.subscribe("fiber") { |_, started, finished, _, payload| seen << [payload[:n], finished - started] }
          fibers = [1, 2].map { |n| Fiber.new { TaskerTelemetry.instrument("fiber", n: n) { Fiber.yield } } }
          fibers.each(&:resume)
          fibers.each { |fiber| clock += 1; fiber.resume }
          p seen
          count = TaskerTelemetry.counter(:told_total)
          N.subscribe("thread") { count.increment }
          8.times.map { Thread.new { 50.times { TaskerTelemetry.instrument("thread") { Thread.pass } } } }.each(&:join)
          p count.value
        RUBY
      end

      it "goes on when subscribers come and go in the middle of an event" do
        expect(printed(<<~'RUBY')).to eq(%(["late", "whole"]\n["whole"]\n0\n))
          told = []
          late = nil
          whole = N.subscribe("changing") { told << "whole" }
          TaskerTelemetry.instrument("changing") { late = N.subscribe("changing") { told << "late" } }
          # Whether the late one is told of the end is the bus's affair; that it does no harm is ours.
          told.push("late") unless told.include?("late")
          p told.sort
          told.clear
          TaskerTelemetry.instrument("changing") { N.unsubscribe(late) }
          p told - ["late"]
          N.unsubscribe(whole)
          N.unsubscribe(whole)
          told.clear
          TaskerTelemetry.instrument("changing")
          p told.size
        RUBY
      end

      it "isolates, counts and says what a subscriber raises, and tells the others" do
        expect(printed(<<~'RUBY')).to eq("[:value, [:start, :finish]]\n[6, 3]\n[1, true, false]\n")
          class Raising
            def start(*) = raise(NotImplementedError, "not yet, password=hunter2")
            def finish(*) = raise(Class.new(Exception), "neither")
          end
          N.subscribe("fragile", Raising.new)
          N.subscribe("fragile") { |*| raise ScriptError, "a block" }
          N.subscribe("fragile", Listener.new(told = []))
          value = TaskerTelemetry.instrument("fragile") { :value }
          p [value, told.map(&:first)]
          2.times { TaskerTelemetry.instrument("fragile") }
          block = TaskerTelemetry.snapshot.to_h["tasker_telemetry_subscriber_errors_total"].keys.find { |labels| labels[:subscriber].start_with?("-e:") }
          p [errors("Raising"), errors(block[:subscriber])]
          lines = LOG.string.lines.grep(/Raising raised/)
          p [lines.size, lines[0].include?("on the event fragile: NotImplementedError"), LOG.string.include?("hunter2")]
        RUBY
      end

      it "does not keep anybody from leaving the process" do
        [SystemExit, Interrupt, NoMemoryError].each do |error|
          expect(printed(<<~RUBY)).to eq("#{error}\n")
            N.subscribe("leaving") { |*| raise #{error}.new(*("no" unless #{error} == SystemExit)) }
            begin
              TaskerTelemetry.instrument("leaving")
            rescue #{error} => e
              puts e.class
            end
          RUBY
        end
      end

      it "takes no subscriber that cannot be told" do
        expect(printed(<<~'RUBY')).to eq("ArgumentError\n" * 4)
          [-> { N.subscribe("x") }, -> { N.subscribe("x", Object.new) }, -> { N.subscribe(5) { nil } },
           -> { N.subscribe("x", Listener.new([])) { nil } }].each do |call|
            call.call
          rescue ArgumentError => e
            puts e.class
          end
        RUBY
      end
    end
  end

  it "takes subscribers along when ActiveSupport is loaded later" do
    out = evented("", prelude, <<~'RUBY')
      told = []
      gone = N.subscribe(/order/) { told << :gone }
      kept = N.subscribe("order.paid") { |name, *| told << name }
      N.unsubscribe(gone)
      TaskerTelemetry.instrument("order.paid") { require "active_support" }
      TaskerTelemetry.instrument("order.paid")
      ActiveSupport::Notifications.instrument("order.paid")
      N.unsubscribe(kept)
      ActiveSupport::Notifications.instrument("order.paid")
      p told, N.bus
    RUBY
    expect(out).to eq(%(["order.paid", "order.paid", "order.paid"]\nActiveSupport::Notifications\n))
  end

  {
    "configured again" => "TaskerTelemetry.configure",
    "instrumented" => "TaskerTelemetry::Instrumentation.install(:cache)",
    "told of an event" => %(TaskerTelemetry.instrument("another"))
  }.each do |how, code|
    it "counts what a later ActiveSupport publishes, once it is #{how}" do
      out = evented("", prelude, <<~RUBY)
        TaskerTelemetry.events.map("order.paid", backends: :metrics)
        require "active_support"
        #{code}
        ActiveSupport::Notifications.instrument("order.paid")
        p TaskerTelemetry.snapshot.to_h["order_paid_total"]&.values
      RUBY
      expect(out).to eq("[1]\n")
    end
  end

  it "takes what ActiveSupport publishes at once, with whatever times" do
    out = evented(%(require "active_support"\n), prelude, <<~'RUBY')
      N.subscribe("told") { |_, started, finished, id, payload| p [(finished - started).round(3), id, payload] }
      now = Time.now
      ActiveSupport::Notifications.publish("told", now - 2, now, "id", { a: 1 })
      ActiveSupport::Notifications.publish("told", 10.0, 10.5, "id", { a: 2 })
      ActiveSupport::Notifications.publish("told", { a: 3 })
      ActiveSupport::Notifications.publish("told", "no payload")
    RUBY
    expect(out).to eq(%([2.0, "id", {:a=>1}]\n[0.5, "id", {:a=>2}]\n[0.0, nil, {:a=>3}]\n))
  end

  it "reports to Rails where Rails takes reports, once, even when a report is an event" do
    out = evented("", prelude, <<~'RUBY')
      module Rails
        def self.error = @error ||= Reporter.new
        class Reporter
          def report(error, handled:, context:)
            p [error.class, handled, context]
            TaskerTelemetry.instrument("reported")
            raise "the reporter itself" if context[:event] == "second"
          end
        end
      end
      class Subscriber
        def start(*) = nil
        def finish(*) = raise(TypeError, "no")
      end
      N.subscribe(nil, Subscriber.new)
      TaskerTelemetry.instrument("first")
      TaskerTelemetry.instrument("second")
      p errors("Subscriber")
    RUBY
    expect(out.lines.map(&:chomp)).to eq(
      ['[TypeError, true, {:subscriber=>"Subscriber", :event=>"first"}]',
       '[TypeError, true, {:subscriber=>"Subscriber", :event=>"second"}]', "4"]
    )
  end

  it "remembers no more names than it may" do
    bus = described_class::Bus.new
    bus.subscribe(/never/, Object.new)
    10_100.times { |number| bus.instrument("name.#{number}", {}) }
    expect(bus.instance_variable_get(:@table).routes.size).to eq(10_000)
    expect(bus.listening?("whenever.#{rand}")).to be(true)
  end
end
