# frozen_string_literal: true

require "csv"
require "json"

# What other programs load: with Ruby's own parsers, and beside the snapshot of the same totals.
RSpec.describe "A page that is loaded again" do
  values = ['say "cheese"', "one\ntwo", "one\r\ntwo", "a,b;c", "C:\\temp\\new", "", "käse 🧀", '{"a": 1}', "a\0b",
            "'=1+1"]

  before do
    TaskerTelemetry.reset!
    words = TaskerTelemetry.counter(:loading_spec_words_total, "Words, \"quoted\"\nin lines", labels: %i[word kind])
    depth = TaskerTelemetry.gauge(:loading_spec_depth, "Depth", labels: %i[word], aggregation: :sum)
    size = TaskerTelemetry.histogram(:loading_spec_sizes, "Sizes", labels: %i[word], buckets: [0.5, 1, 1e20])
    values.each_with_index do |value, index|
      words.increment((2**60) + index, word: value, kind: :whole)
      words.increment(0.1 + index, word: value, kind: :broken)
      depth.set(-1.5 * index, word: value)
      [0.1, 1, 7.25, 1e21].each { |each| (index + 1).times { size.observe(each, word: value) } }
    end
  end

  # {name => {labels => value}}, of the metrics above.
  let(:counted) do
    ours = TaskerTelemetry.snapshot.select { |series| series.name.start_with?("loading_spec") }
    ours.group_by(&:name).transform_values do |all|
      all.to_h { |series| [series.labels.transform_keys(&:to_s), series.value] }
    end
  end

  def bound(text)
    text == "+Inf" ? Float::INFINITY : Float(text)
  end

  def number(text)
    Integer(text, exception: false) || Float(text)
  end

  it "has counted what is compared" do
    expect(counted.transform_values(&:size)).to eq("loading_spec_words_total" => 2 * values.size,
                                                   "loading_spec_depth" => values.size,
                                                   "loading_spec_sizes" => values.size)
    expect(counted.dig("loading_spec_words_total", { "word" => "one\ntwo", "kind" => "whole" })).to eq((2**60) + 1)
  end

  it "says in JSON what the snapshot says" do
    metrics = JSON.parse(TaskerTelemetry.export(:json)).fetch("metrics")
    metrics.select! { |metric| metric["name"].start_with?("loading_spec") }
    loaded = metrics.to_h do |metric|
      [metric["name"], metric["series"].to_h do |series|
        histogram = series["buckets"] && { count: series["count"], sum: series["sum"],
                                           buckets: series["buckets"].transform_keys { |text| bound(text) } }
        [series["labels"], histogram || series["value"]]
      end]
    end
    expect(loaded).to eq(counted)
    expect(metrics.to_h { |metric| metric.values_at("name", "type") })
      .to eq("loading_spec_words_total" => "counter", "loading_spec_depth" => "gauge",
             "loading_spec_sizes" => "histogram")
    expect(metrics.find { |metric| metric["type"] == "counter" }["help"]).to eq("Words, \"quoted\"\nin lines")
  end

  it "says in CSV what the snapshot says" do
    rows = CSV.parse(TaskerTelemetry.export(:csv), headers: true)
              .select { |row| row["name"].start_with?("loading_spec") }
    loaded = rows.each_with_object({}) do |row, all|
      series = (all[row["name"]] ||= {})
      labels = JSON.parse(row["labels"])
      next series[labels] = number(row["value"]) if row["sample"] == "value"

      histogram = (series[labels] ||= { buckets: {} })
      next histogram[row["sample"].to_sym] = number(row["value"]) unless row["sample"] == "bucket"

      histogram[:buckets][bound(row["le"])] = Integer(row["value"])
    end
    expect(loaded).to eq(counted)
    expect(rows.size).to eq((3 * values.size) + (values.size * (4 + 2)))
  end
end
