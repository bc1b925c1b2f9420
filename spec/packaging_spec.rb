# frozen_string_literal: true

require "find"
require "tmpdir"

# Builds from nothing with cargo, so it takes a minute: `rspec --tag packaging`, or `--tag ~packaging` to leave it out.
RSpec.describe "The packaged gem", :packaging do
  before(:context) do
    @directory = Dir.mktmpdir
    @home = File.join(@directory, "gems")
    package = File.join(@directory, "tasker_telemetry.gem")
    expect_success run_command("gem", "build", "tasker_telemetry.gemspec", "--output", package)
    # Whatever a developer has set for the checkout is not what an install gets.
    clean = { "CARGO_TARGET_DIR" => nil, "TASKER_TELEMETRY_CARGO_PROFILE" => nil,
              "TASKER_TELEMETRY_CARGO_FEATURES" => nil }
    expect_success run_command("gem", "install", "--local", "--no-document", "--install-dir", @home, package,
                               env: clean, chdir: @directory, within: 1800)
  end

  after(:context) { FileUtils.remove_entry(@directory) }

  def expect_success(outcome)
    expect(outcome).to be_success, outcome.to_s
  end

  let(:installed) { File.join(@home, "gems", "tasker_telemetry-#{TaskerTelemetry::VERSION}") }

  it "counts in a fresh process that knows nothing of the checkout" do
    code = <<~RUBY
      require "tasker_telemetry"
      jobs = TaskerTelemetry.counter(:jobs_done_total, "Jobs done", labels: %i[queue])
      jobs.increment(2, queue: "mail")
      puts $LOADED_FEATURES.grep(/tasker_telemetry\\.so/), TaskerTelemetry.export(:prometheus)
    RUBY
    outcome = run_command(RbConfig.ruby, "-e", code, chdir: "/",
                                                     env: { "GEM_PATH" => "#{@home}:#{Gem.default_path.join(":")}" })
    expect_success outcome
    expect(outcome.out).to start_with(@home).and include(%(jobs_done_total{queue="mail"} 2))
  end

  it "leaves no build tree behind and takes a few megabytes" do
    expect(Dir[File.join(@home, "**", "target")]).to be_empty
    bytes = Find.find(@home).sum { |path| File.file?(path) ? File.size(path) : 0 }
    expect(bytes).to be < 16 * 1024 * 1024
  end

  it "holds a workspace that loads, and nothing that only a checkout needs" do
    expect_success run_command("cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1",
                               chdir: installed)
    expect(Dir.children(installed)).to contain_exactly(
      "CHANGELOG.md", "Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "docs", "ext", "lib", "sig", "tests"
    )
    expect(Dir[File.join(installed, "tests", "*")].map { |path| File.basename(path) })
      .to contain_exactly("Cargo.toml", "src")
  end
end
