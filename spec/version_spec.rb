# frozen_string_literal: true

require "json"

RSpec.describe "The version" do
  it "is the same in the gem and in every crate" do
    cargo = run_command("cargo", "metadata", "--format-version", "1", "--no-deps", "--locked")
    expect(cargo).to be_success, cargo.to_s

    versions = JSON.parse(cargo.out).fetch("packages").to_h { |package| package.values_at("name", "version") }
    expect(versions).not_to be_empty
    expect(versions.values).to all(eq(TaskerTelemetry::VERSION)), versions.to_s
  end

  it "has a section, or the unreleased one, on top of the changelog" do
    top = File.read("#{RubyProcess::ROOT}/CHANGELOG.md")[/^## \[(.+?)\]/, 1]
    expect(top).to eq("Unreleased").or eq(TaskerTelemetry::VERSION)
  end
end
