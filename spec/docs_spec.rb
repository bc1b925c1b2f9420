# frozen_string_literal: true

require "json"
require "tmpdir"

RSpec.describe "The documentation" do
  root = RubyProcess::ROOT
  documents = Dir["#{root}/{README,CONTRIBUTING,docs/*}.md"].to_h do |path|
    [path.delete_prefix("#{root}/"), File.read(path)]
  end

  # What the core is made of, its tests left out.
  core = Dir["#{root}/ext/core/src/**/*.rs"].grep_v(%r{/tests?(/\w+)?\.rs\z}).map do |path|
    File.read(path)[/.*?(?=^#\[cfg\(test\)\]|\z)/m]
  end

  # Evaluates the blocks given as JSON on standard input, each at its own place in its document.
  runner = <<~'RUBY'
    require "json"
    $shown = lambda do |text, line, value|
      raise "line #{line}: the document shows #{text}, the code gives #{value.inspect}" unless value.inspect == text
    end
    JSON.parse($stdin.read).each { |code, file, line| eval(code, TOPLEVEL_BINDING, file, line) }
  RUBY

  rails = <<~RUBY
    require "rails"
    require "action_controller/railtie"
    require "active_job/railtie"
    class DocumentedApplication < Rails::Application
      config.eager_load = false
      config.logger = Logger.new($stderr, level: :warn)
      config.secret_key_base = "documented"
      config.hosts.clear
    end
    require "tasker_telemetry"
    Rails.application.initialize!
  RUBY

  documents.each do |name, text|
    fences = Markdown.fences(text)

    it "#{name} says of every block what it is" do
      expect(fences.map(&:info) - Markdown::RUN - Markdown::SHOWN).to be_empty
      expect(text.scan(/^ *```/).size).to eq(2 * fences.size)
    end

    { "ruby" => %(require "tasker_telemetry"), "ruby rails" => rails }.each do |info, start|
      blocks = fences.select { |fence| fence.info == info }
      next if blocks.empty?

      it "#{name} has `#{info}` blocks that run as they are" do
        input = blocks.map { |block| [Markdown.checked(block.code), name, block.line] }.to_json
        outcome = FaultyCollector.open do |collector|
          env = { "RACK_ENV" => "test", "OTEL_EXPORTER_OTLP_ENDPOINT" => collector.endpoint }
          Dir.mktmpdir { |directory| run_ruby("#{start}\n#{runner}", env:, chdir: directory, input:) }
        end
        expect(outcome).to be_success, outcome.to_s
      end
    end

    fences.select { |fence| fence.info == "sh" }.each do |block|
      it "#{name} has a command in line #{block.line} that runs" do
        outcome = run_command("bash", "-euo", "pipefail", "-c", block.code, env: { "RACK_ENV" => "test" })
        expect(outcome).to be_success, outcome.to_s
      end
    end

    it "#{name} links to files that exist" do
      targets = text.scan(/\]\(([^)#\s]+)(?:#[^)]*)?\)/).flatten.grep_v(/\A[a-z]+:/)
      missing = targets.reject { |target| File.exist?(File.expand_path(target, File.dirname("#{root}/#{name}"))) }
      expect(missing).to be_empty
    end

    it "#{name} links to sections that exist" do
      targets = text.scan(/\]\(([^)#\s:]*)#([^)]+)\)/)
      missing = targets.reject do |file, section|
        path = file.empty? ? "#{root}/#{name}" : File.expand_path(file, File.dirname("#{root}/#{name}"))
        Markdown.sections(File.read(path)).include?(section)
      end
      expect(missing).to be_empty
    end
  end

  describe "of the options" do
    def paths(type, prefix = "config")
      type.options.keys.map { |name| "#{prefix}.#{name}" } +
        type.groups.flat_map { |name, group| ["#{prefix}.#{name}", *paths(group, "#{prefix}.#{name}")] }
    end

    def groups(type, prefix = "config")
      type.groups.flat_map { |name, group| ["#{prefix}.#{name}", *groups(group, "#{prefix}.#{name}")] }
    end

    let(:known) { paths(TaskerTelemetry::Configuration) }

    let(:mentioned) do
      # Rails' own configuration bears the same name; it is written in full.
      documents.values.flat_map { |text| text.scan(/(?<![.\w])config(?:\.[a-z_]+)+/) }.uniq
    end

    it "names none that does not exist" do
      expect(mentioned).not_to be_empty
      expect(mentioned - known).to be_empty
    end

    it "explains each one that exists" do
      expect(known - groups(TaskerTelemetry::Configuration) - mentioned).to be_empty
    end
  end

  describe "of the environment variables" do
    let(:code) do
      places = %w[lib/**/* ext/*/extconf.rb ext/*/src/**/*.rs Rakefile bin/*]
      places.flat_map { |place| Dir["#{root}/#{place}"] }.grep_v(/\.so\z/).select { |path| File.file?(path) }
            .map { |path| File.read(path) }.join("\n")
    end

    it "names none of the gem's that nothing reads" do
      mentioned = documents.values.flat_map { |text| text.scan(/\bTASKER_TELEMETRY_[A-Z_]+/) }.uniq
      expect(mentioned.reject { |name| code.include?(name) }).to be_empty
    end

    it "explains each one that the gem reads" do
      read = code.scan(/ENV(?:\.fetch\(|\[|\.key\?\()"([A-Z_]+)"/).flatten.uniq - %w[PATH HOME]
      expect(read).not_to be_empty
      expect(read.reject { |name| documents.values.any? { |text| text.include?(name) } }).to be_empty
    end

    # Those of OpenTelemetry's that stand in the code. Some are put together from a signal and a setting.
    let(:standard) do
      composed = core.find { |source| source.include?("OTEL_EXPORTER_OTLP_{setting}") }
      signals = composed.scan(/Self::\w+ => "([A-Z]+)"/).flatten
      settings = core.join.scan(/_variable\("([A-Z]+)"/).flatten.uniq
      expect([signals.size, settings.size]).to eq([2, 6])
      library = Dir["#{root}/lib/**/*.rb"].map { |path| File.read(path) }
      names = [*core, *library].join.scan(/"(OTEL_[A-Z_]*[A-Z])"/).flatten.uniq
      names + settings.flat_map do |setting|
        ["OTEL_EXPORTER_OTLP_#{setting}", *signals.map { |signal| "OTEL_EXPORTER_OTLP_#{signal}_#{setting}" }]
      end
    end

    it "explains each of OpenTelemetry's that is read, and no other" do
      table = documents.fetch("docs/TELEMETRY.md").lines.grep(/^\| `OTEL_/).map { |line| line[/\A\|[^|]*/] }
      expect(table.join.scan(/OTEL_[A-Z_]+/)).to match_array(standard)
      mentioned = documents.values.flat_map { |text| text.scan(/\bOTEL_[A-Z_]+/) }
      expect(mentioned.uniq - standard).to be_empty
    end
  end

  describe "of the events" do
    # Lines of the table, as the catalogue would have them.
    let(:catalogue) do
      outcome = run_ruby(<<~'RUBY', env: { "RACK_ENV" => "test" })
        require "json"
        require "tasker_telemetry"
        puts JSON.generate(TaskerTelemetry.events.catalogue)
      RUBY
      JSON.parse(outcome.out, symbolize_names: true).map { |event| row(event) }
    end

    def row(event)
      route = [event[:backends].join(" ")]
      route << "sample #{event[:sample]}" if event[:sample] < 1
      route << "priority #{event[:priority]}" unless event[:priority] == "normal"
      cells = [listed([event[:name]]), event[:description], event[:kind], listed(event[:payload_keys]),
               route.join(", "), listed(event[:metrics].map { |metric| metric[:name] })]
      "|#{cells.map { |cell| cell.empty? ? " |" : " #{cell} |" }.join}"
    end

    def listed(names)
      names.map { |name| "`#{name}`" }.join(" ")
    end

    it "lists the catalogue as it is" do
      section = documents.fetch("docs/TELEMETRY.md")[/^## The catalogue\n(.*?)^## /m, 1]
      expect(section.lines(chomp: true).grep(/^\| `/)).to eq(catalogue)
    end
  end

  describe "of the gem's own metrics" do
    let(:declared) do
      sources = core + Dir["#{root}/lib/tasker_telemetry/**/*.rb"].map { |path| File.read(path) }
      sources.join.scan(/"(tasker_telemetry_(?:\w+_(?:total|seconds|bytes)|series|processes))"/).flatten.uniq
    end

    it "explains each one, and no other" do
      section = documents.fetch("docs/METRICS.md")[/^## What the gem tells about itself\n(.*?)^## /m, 1]
      expect(section.scan(/^\| `(\w+)`/).flatten).to match_array(declared)
      mentioned = documents.values.flat_map { |text| text.scan(/\btasker_telemetry_\w+_(?:total|seconds)\b/) }.uniq
      known = declared + documents.fetch("docs/TELEMETRY.md").scan(/^\| `tasker\.telemetry.*$/)
                                  .flat_map { |line| line.scan(/tasker_telemetry_\w+/) }
      expect(mentioned - known).to be_empty
    end
  end
end
