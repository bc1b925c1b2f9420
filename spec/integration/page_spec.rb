# frozen_string_literal: true

RSpec.describe "A page" do
  values = {
    "quotes" => 'say "cheese"',
    "backslashes" => 'C:\\temp\\new',
    "an escaped newline" => 'one\\ntwo',
    "a newline" => "one\ntwo",
    "a carriage return" => "one\r\ntwo",
    "an emoji" => "🧀",
    "NUL" => "a\0b",
    "nothing" => "",
    "braces and commas" => 'a="1",b{c} d # e',
    "10 kB" => "x" * 10_000,
    "Latin-1" => "caf\xE9".dup.force_encoding("ISO-8859-1"),
    "UTF-16" => "käse".encode("UTF-16LE")
  }

  let(:counter) { TaskerTelemetry.counter(:page_spec_total, "Any \\ label\nvalue", labels: %i[value kind]) }
  let(:latency) { TaskerTelemetry.histogram(:page_spec_seconds, "Durations", labels: %i[value], unit: :seconds) }
  let(:gauge) { TaskerTelemetry.gauge(:page_spec_depth, "Depth", labels: %i[value], aggregation: :per_process) }

  before do
    TaskerTelemetry.reset!
    values.each_value do |value|
      counter.increment(value: value, kind: :any)
      latency.observe(0.3, value: value)
      gauge.set(-1.5, value: value)
    end
    # Neither is UTF-8, and both come out alike: they are one series.
    ["\xff", "\xfe"].each { |value| counter.increment(value: value, kind: :broken) }
  end

  { openmetrics: "OpenMetrics", prometheus: "Prometheus text" }.each do |format, name|
    describe "in #{name}" do
      let(:page) { TaskerTelemetry.export(format) }
      let(:samples) { parse_page(page, format) }

      it "is read by the reference parser, with every label value as it was" do
        whole = values.transform_values { |value| value.encode("UTF-8") }
        read = samples.filter_map { |(sample, labels), _| labels["value"] if sample == "page_spec_total" }
        expect(read).to include(*whole.values)
        expect(read.size).to eq(values.size + 1)
        expect(samples.fetch(["page_spec_total", { "value" => "\u{FFFD}", "kind" => "broken" }])).to eq(2)
      end

      it "has no two lines alike" do
        lines = page.lines.grep_v(/^#/).map { |line| line.rpartition(" ").first }
        expect(lines.tally.select { |_, count| count > 1 }).to be_empty
      end

      it "is the same each time" do
        own = /^.*tasker_telemetry_scrape.*$|^process_.*$/
        expect(page.gsub(own, "").lines.grep(/page_spec/)).to eq(TaskerTelemetry.export(format).lines.grep(/page_spec/))
      end
    end
  end

  it "lists series in the order of their births, whoever made them and whoever is asked" do
    born = TaskerTelemetry.counter(:page_spec_births_total, "Births", labels: %i[number])
    lines = -> { TaskerTelemetry.export(:prometheus).lines.grep(/^page_spec_births/) }
    asked, ask = IO.pipe
    answers, answer = IO.pipe
    pid = fork do
      ask.close
      while (number = asked.gets)
        born.increment(number: number.chomp)
        answer.puts("done")
      end
      answer.write(lines.call.join)
      exit!(0)
    end
    answer.close
    10.downto(1) do |number|
      next born.increment(number: number) if number.odd?

      ask.puts(number)
      answers.gets
    end
    ask.close
    expected = 10.downto(1).map { |number| %(page_spec_births_total{number="#{number}"} 1\n) }
    expect([lines.call, answers.readlines]).to eq([expected, expected])
    Process.wait(pid)
  end

  it "leaves promtool with nothing to say" do
    # Metrics of other specifications may lack the help that promtool wants.
    here = TaskerTelemetry.export(:prometheus).lines.grep(/^(# [A-Z]+ )?(page_spec|tasker_telemetry|process|ruby)_/)
    expect(here.grep(/page_spec/).size).to be > 3 * values.size
    expect(promtool(here.join)).to eq("")
  end

  it "leaves promtool with nothing to say about a served application either" do
    Application.open do |application|
      application.serve(workers: 1)
      application.request("GET", "/index")
      application.request("POST", "/work", {}, "good")
      expect(promtool(application.request("GET", "/metrics").body)).to eq("")
    end
  end
end
