# frozen_string_literal: true

require "json"
require "tmpdir"

# Where the arena is when nobody says where. Each example has a mount namespace, and in it a /dev/shm, of its own.
RSpec.describe "The default place of the arena" do
  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  before do
    may = Process.uid.zero? || run_command("unshare", "-m", "true").success?
    skip "only root may make a mount namespace here" unless may
  end

  # Runs code of a Rails application whose root is the example's directory, with `mounts` done before.
  def inside(mounts, code)
    rails = <<~RUBY
      require "json"
      require "pathname"
      module Rails
        def self.root = Pathname("#{@directory}")
        def self.env = "production"
      end
      require "tasker_telemetry"
    RUBY
    environment = { "RAILS_ENV" => "production", "RACK_ENV" => nil }
    script = "#{mounts} && exec #{RbConfig.ruby} -I#{RubyProcess::ROOT}/lib -e \"$CODE\""
    outcome = run_command("unshare", "-m", "--propagation", "private", "sh", "-c", script,
                          env: environment.merge("CODE" => rails + code))
    expect(outcome).to be_success, outcome.to_s
    outcome
  end

  def mounted(options)
    "mount -t tmpfs -o #{options} tmpfs /dev/shm"
  end

  count = <<~'RUBY'
    words = TaskerTelemetry.counter(:words_total, "Words", labels: %i[word])
    2.times { words.increment(word: "said") }
    Process.wait(fork { words.increment(word: "said") })
    2.times { TaskerTelemetry.export(:prometheus) }
    status = TaskerTelemetry.status[:metrics]
    puts JSON.generate(total: words.value(word: "said"), path: status[:arena][:path],
                       notices: status[:notices].map { |notice| notice[:message] })
  RUBY

  it "is shared memory" do
    told = JSON.parse(inside(mounted("size=1m"), count).out)
    expect(told).to match("total" => 3, "path" => start_with("/dev/shm/tasker_telemetry-0/"), "notices" => [])
    expect(Dir.children(@directory)).to be_empty
  end

  { "too small" => "size=32k", "read-only" => "size=1m,ro" }.each do |state, options|
    describe "where shared memory is #{state}" do
      it "is the application's tmp/, which is said once" do
        outcome = inside(mounted(options), count)
        told = JSON.parse(outcome.out)
        expect(told).to match("total" => 3, "path" => start_with("#{@directory}/tmp/"),
                              "notices" => [match(%r{/dev/shm})])
        expect(outcome.err.scan(told["notices"].first).size).to eq(1)
      end

      it "is private memory where tmp/ cannot be written either, which is said once" do
        Dir.mkdir("#{@directory}/tmp")
        mounts = "#{mounted(options)} && mount -t tmpfs -o ro tmpfs #{@directory}/tmp"
        outcome = inside(mounts, count)
        told = JSON.parse(outcome.out)
        expect(told).to match("total" => 3, "path" => nil, "notices" => include(match(%r{/dev/shm})))
        told["notices"].each { |notice| expect(outcome.err.scan(notice).size).to eq(1), outcome.err }
      end
    end
  end

  it "goes on with the series that it has when it is full, and counts what finds no room" do
    outcome = inside(mounted("size=64m"), <<~'RUBY')
      TaskerTelemetry.configure { |config| config.metrics.max_series = 1_000_000 }
      words = TaskerTelemetry.counter(:words_total, "Words", labels: %i[word])
      words.increment(word: "early")
      early = words.with(word: "early")
      # Somebody else's files leave the arena a megabyte to grow by.
      arena = TaskerTelemetry.status[:metrics][:arena]
      filler = File.open("/dev/shm/filler", "w")
      filler.write("x" * (1 << 20)) while `stat -f -c '%a %S' /dev/shm`.split.map(&:to_i).reduce(:*) > (2 << 20)
      filler.flush
      asked = 20_000
      asked.times { |number| words.increment(word: "#{number} #{"x" * 200}") }
      500.times do
        early.increment
        words.increment(word: "early")
      end
      status = TaskerTelemetry.status[:metrics]
      series = TaskerTelemetry.snapshot.to_h.fetch("words_total")
      dropped = TaskerTelemetry.export(:prometheus)[/^tasker_telemetry_dropped_samples_total\{reason="arena_full"\} (\d+)/, 1]
      puts JSON.generate(early: early.value, path: status[:arena][:path], kept: series.values.sum - early.value,
                         asked: asked, dropped: dropped.to_i, shown: status[:dropped]["arena_full"])
    RUBY
    told = JSON.parse(outcome.out)
    expect(told).to include("early" => 1001, "path" => start_with("/dev/shm/"))
    expect(told["dropped"]).to be_positive.and eq(told["shown"])
    expect(told["kept"] + told["dropped"]).to eq(told["asked"])
    expect(outcome.err.scan(/new series cannot be counted.*full/).size).to eq(1), outcome.err
  end
end
