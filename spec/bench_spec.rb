# frozen_string_literal: true

require "tmpdir"

RSpec.describe "bin/bench" do
  around { |example| Dir.mktmpdir { |directory| @output = File.join(directory, "RESULTS.md") and example.run } }

  let(:report) { File.read(@output, encoding: "UTF-8") }

  # Of each table its rows, as Hashes by column.
  def table(heading)
    lines = report[/^## #{heading}\n.*?\n(\|.*?)\n(?:\n|\z)/m, 1].lines
    head, _, *rows = lines.map { |line| line.strip[1...-1].split("|").map(&:strip) }
    rows.map { |row| head.zip(row).to_h }
  end

  def measure
    outcome = run_command("bin/bench", "--quick", "--output", @output, within: 120)
    expect(outcome).to be_success, outcome.to_s
  end

  it "measures every call, thread, process, page and byte, and holds each against its goal" do
    measure
    calls, together, pages, memory = %w[Calls Together Pages Memory].map { |heading| table(heading) }
    expect(calls.map { |row| row[""] })
      .to include("empty native method", "tasker_telemetry #{TaskerTelemetry::VERSION}")
    ours = calls.find { |row| row[""].start_with?("tasker_telemetry") }
    expect(ours.values_at("bound counter", "counter, 2 labels")).to match([/\A\d+ \(0\)\z/, /\A\d+ \(1\)\z/])

    empty = table("Events and spans").find { |row| row[""].start_with?("empty subscriber") }
    expect(empty.values_at("event", "event, sent")).to all(match(/\A\d+ \(\d+\)\z/))
    requests = table("Requests")
    expect(requests.map { |row| Float(row["request"]) }).to all(be_positive)
    expect(requests.last[""]).to include("tasker_telemetry with metrics")

    costs = [together, pages, memory].map { |rows| rows.find { |row| row[""].start_with?("tasker_telemetry") } }
    expect(costs.map { |row| row.drop(1).map { |_, cost| Float(cost[/[\d.]+/]) } }.flatten).to all(be_positive)

    goals = table("Goals")
    expect(goals.size).to be >= 11
    expect(goals.map { |goal| goal["result"] }).to all(eq("reached").or(eq("**missed**")))
  end

  it "says what it cannot measure, and explains how it could" do
    measure
    expect(report).to include("OpenTelemetry was not measured: ") unless ENV["OPENTELEMETRY_RUBY"]
    outcome = run_command("bin/bench", "--help")
    expect(outcome.out).to include("--quick", "CLIENT_RUBY", "OPENTELEMETRY_RUBY", "OPENTELEMETRY_RUBY_CONTRIB")
  end
end
