# frozen_string_literal: true

# From where a stack overflows until Ruby's interpreter has handled an exception, Ruby acts on no signal. Where native
# code catches the overflow, nothing may handle one for long.
RSpec.describe "A stack that overflows" do
  include RubyProcess

  # The rest of a process that prints how often a signal was handled, and the reasons for which samples were dropped.
  let(:epilogue) { <<~RUBY }
    handled = 0
    trap("USR1") { handled += 1 }
    Process.kill("USR1", Process.pid)
    page = TaskerTelemetry.export(:prometheus)
    puts handled, page.scan(/dropped_samples_total\\{reason="(.*)"\\} [1-9]/)
  RUBY

  def printed(code)
    Dir.mktmpdir do |directory|
      prologue = <<~RUBY
        require "tasker_telemetry"
        TaskerTelemetry.configure { |config| config.metrics.arena = ARGV.fetch(0) }
      RUBY
      done = run_ruby(prologue + code + epilogue, File.join(directory, "arena"))
      expect(done).to be_success, done.to_s
      done.out.split
    end
  end

  it "under a label's to_s costs that sample, and no signal" do
    expect(printed(<<~'RUBY')).to eq(%w[1 invalid_value])
      DIVES = TaskerTelemetry.counter(:dives_total, "Dives", labels: %i[kind])
      # It takes more of the stack than what calls it.
      SAID = Object.new
      SAID.instance_eval("def to_s() = #{Array.new(500) { |n| "(v#{n} = 'said')" }.join(" && ")}")

      def dive(depth) = depth.zero? ? DIVES.increment(kind: SAID) : dive(depth - 1)

      too_deep = (1..1_000_000).bsearch do |depth|
        dive(depth)
        false
      rescue SystemStackError
        true
      end
      counted = DIVES.value(kind: "said")
      dive(too_deep - 1)
      raise "it was counted" unless DIVES.value(kind: "said") == counted
    RUBY
  end

  it "under another extension holds nothing up" do
    expect(printed(<<~RUBY)).to eq(%w[1])
      require "fiddle"
      word = Fiddle::TYPE_VOIDP
      protect = Fiddle::Function.new(Fiddle::Handle::DEFAULT["rb_protect"], [word] * 3, word, need_gvl: true)
      state = Fiddle::Pointer.malloc(Fiddle::SIZEOF_INT, Fiddle::RUBY_FREE)
      deep = 200_000.times.inject([]) { |inner, _| [inner] }
      protect.call(Fiddle::Handle::DEFAULT["rb_inspect"], Fiddle.dlwrap(deep), state)
      raise "the stack did not overflow" if state[0, Fiddle::SIZEOF_INT].unpack1("i").zero?
    RUBY
  end
end
