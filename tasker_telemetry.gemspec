# frozen_string_literal: true

require_relative "lib/tasker_telemetry/version"

Gem::Specification.new do |spec|
  spec.name = "tasker_telemetry"
  spec.version = TaskerTelemetry::VERSION
  spec.authors = ["The tasker_telemetry authors"]
  spec.summary = "Metrics for Rails and any Ruby process, exact across processes, counted natively in shared memory"
  spec.description = <<~TEXT
    Counters, gauges and histograms that every process of an application on a machine shares: an increment costs a method
    call, a scrape of any process sees all of them, and the totals survive kill -9. Nothing has to be configured and no
    server has to run; Prometheus text, OpenMetrics, JSON and CSV come out.
  TEXT
  spec.license = "MIT"
  spec.required_ruby_version = ">= 3.1"
  spec.metadata = { "rubygems_mfa_required" => "true" }

  # The workspace is packaged as it is, so that Cargo.lock fits it and `cargo build --locked` works from the installed
  # gem. That takes the manifest and the sources of every member (the benches are named in a manifest), but no test.
  spec.files = Dir.chdir(__dir__) do
    built = Dir["lib/**/*.{so,bundle,new}"]
    Dir["lib/**/*", "sig/**/*.rbs", "docs/**/*.md", "README.md", "CHANGELOG.md", "LICENSE", "Cargo.{toml,lock}",
        "{ext/*,tests}/Cargo.toml", "{ext/*,tests}/src/**/*.rs", "ext/*/build.rs",
        "ext/*/benches/**/*.rs", "ext/*/README.md", "ext/*/extconf.rb"].select { |path| File.file?(path) } - built
  end
  spec.extensions = ["ext/tasker_telemetry/extconf.rb"]
  spec.require_paths = ["lib"]
end
