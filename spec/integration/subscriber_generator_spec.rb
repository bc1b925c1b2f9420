# frozen_string_literal: true

require "tmpdir"

# In an application that `rails new` has made a moment ago.
RSpec.describe "The subscriber generator" do
  # Flags that one Rails knows and another does not are ignored.
  without = %w[bundle git keeps active-record action-mailer action-mailbox action-text active-storage active-job
               action-cable sprockets asset-pipeline spring listen javascript hotwire bootsnap system-test jbuilder
               webpack-install docker ci rubocop brakeman kamal thruster].map { |part| "--skip-#{part}" }

  around do |example|
    Dir.mktmpdir do |directory|
      @root = "#{directory}/shop"
      succeed run_command("rails", "new", @root, *without, chdir: directory)
      # Without Bundler there is nobody to require the gem.
      File.delete("#{@root}/Gemfile")
      File.write("#{@root}/config/boot.rb", %(require "pathname"\n))
      application = read("config/application.rb").sub(/^Bundler\.require.*$/, 'require "tasker_telemetry"')
      File.write("#{@root}/config/application.rb", application)
      example.run
    end
  end

  attr_reader :root

  def succeed(outcome)
    expect(outcome).to be_success, outcome.to_s
    outcome
  end

  def run(*command, environment: "test")
    library = [File.join(RubyProcess::ROOT, "lib"), ENV.fetch("RUBYLIB", nil)].compact.join(":")
    run_command(*command, chdir: root, env: { "RAILS_ENV" => environment, "RACK_ENV" => nil, "RUBYLIB" => library,
                                              "SECRET_KEY_BASE" => "of no importance" })
  end

  def generate(*arguments)
    run("ruby", "bin/rails", "generate", "tasker_telemetry:subscriber", *arguments)
  end

  def read(path)
    File.read("#{root}/#{path}")
  end

  [[], ["--metrics"]].each do |metrics|
    it "writes a subscriber and a specification that passes#{", #{metrics.first}" if metrics.any?}" do
      Dir.mkdir("#{root}/spec")
      succeed generate("Order", "--events", "order.completed", "order.line_item.added", "order.*", *metrics)
      outcome = succeed run("rspec", "spec/subscribers/order_subscriber_spec.rb")
      expect(outcome.out).to include("#{metrics.any? ? 6 : 3} examples, 0 failures")
      expect(read("app/subscribers/order_subscriber.rb")).to include("def handle_order_line_item_added(event)")
    end

    it "writes a test that passes where there is no RSpec#{", #{metrics.first}" if metrics.any?}" do
      succeed generate("order", "--events", "order.completed", "step.retry_requested", *metrics)
      outcome = succeed run("ruby", "bin/rails", "test", "test/subscribers/order_subscriber_test.rb")
      expect(outcome.out).to match(/2 runs, \d+ assertions, 0 failures, 0 errors, 0 skips/)
    end
  end

  it "uses the application's own helper, and none where there is none" do
    Dir.mkdir("#{root}/spec")
    File.write("#{root}/spec/rails_helper.rb", "$helped = true\nrequire_relative '../config/environment'\n")
    succeed generate("order", "--events", "order.completed")
    expect(read("spec/subscribers/order_subscriber_spec.rb")).to include(%(require "rails_helper"))
    succeed run("rspec", "spec/subscribers/order_subscriber_spec.rb")
    %w[spec test/test_helper.rb].each { |path| FileUtils.rm_r("#{root}/#{path}") }
    succeed generate("mail", "--events", "mail.sent")
    succeed run("ruby", "test/subscribers/mail_subscriber_test.rb")
  end

  it "takes a name in modules, and another directory" do
    Dir.mkdir("#{root}/spec")
    [%w[shop/order_subscriber --events order.completed],
     %w[order --events order.completed --metrics --directory app/telemetry/listeners],
     %w[order --events order.completed --directory lib/told]].each { |arguments| succeed generate(*arguments) }
    outcome = succeed run("rspec", *Dir["#{root}/spec/**/*_spec.rb"])
    expect(outcome.out).to include("4 examples, 0 failures")
    expect(Dir.children("#{root}/config/initializers"))
      .to include("shop_order_subscriber.rb", "listeners_order_subscriber.rb", "order_subscriber.rb")
  end

  it "writes handle_event for names that look alike" do
    Dir.mkdir("#{root}/spec")
    succeed generate("order", "--events", "a.b_c", "a_b.c", "event")
    expect(read("app/subscribers/order_subscriber.rb")).to match(/def handle_event\(name, payload\)/)
    succeed run("rspec", "spec/subscribers")
  end

  it "says what it needs" do
    expect(generate("order").err).to include("--events")
    expect(generate("order", "--events", "two words").err).to include('not by "two words"')
    expect(generate("order", "--events", "x", "--directory", "../there").err).to include("--directory is a path below")
    expect(Dir.exist?("#{root}/app/subscribers")).to be(false)
  end

  it "subscribes at boot, and once after each reload of the code" do
    succeed generate("order", "--events", "order.completed")
    script = <<~'RUBY'
      require "stringio"
      require "./config/environment"
      def told
        TaskerTelemetry.configure { |config| config.logger = Logger.new(@log = StringIO.new) }
        TaskerTelemetry.instrument("order.completed")
        @log.string.lines.map { |line| line.split.last }
      end
      p told
      path = "app/subscribers/order_subscriber.rb"
      2.times do |time|
        File.write(path, File.read(path).sub('"#{name}', '"again #{name}').sub("again again", "#{time}"))
        Rails.application.reloader.reload!
      end
      p told.size, OrderSubscriber.instance_method(:handle_order_completed).source_location.first.end_with?(path)
    RUBY
    outcome = succeed run("ruby", "-e", script, environment: "development")
    expect(outcome.out).to eq(%(["order.completed"]\n1\ntrue\n))
  end
end
