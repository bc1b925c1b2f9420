# frozen_string_literal: true

require "rails/generators/named_base"
require "tasker_telemetry"

module TaskerTelemetry
  module Generators
    # Writes a subscriber, what subscribes it when the application starts, and its specification, which passes.
    class SubscriberGenerator < ::Rails::Generators::NamedBase
      DIRECTORY = %r{\A\w[\w-]*(?:/\w[\w-]*)*\z}
      # Rails loads what is below these, whose own names are part of no constant.
      ROOT = %r{\Aapp/[^/]+(?:/|\z)}
      SUFFIX = "_subscriber"
      private_constant :DIRECTORY, :ROOT, :SUFFIX

      desc "Writes a subscriber of the events that are named, and its specification; a name may have * in it"
      source_root File.expand_path("templates", __dir__)

      class_option :events, type: :array, required: true, banner: "order.completed order.failed",
                            desc: "The events that it is told of"
      class_option :metrics, type: :boolean, default: false, desc: "Have it count and time the events"
      class_option :directory, type: :string, default: "app/subscribers", desc: "Where the class goes"

      # @api private
      def check
        options[:events].each { |name| BaseSubscriber::Handlers.check_name(name) }
        return if directory.match?(DIRECTORY)

        raise Thor::Error, "--directory is a path below the application's, such as app/subscribers, not #{directory}"
      rescue ArgumentError => e
        raise Thor::Error, e.message
      end

      # @api private
      def create_subscriber
        template "subscriber.rb", "#{path}.rb"
      end

      # @api private
      def create_initializer
        template "initializer.rb", "config/initializers/#{metric}.rb"
      end

      # @api private
      def create_specification
        return template("subscriber_spec.rb", "spec/#{specification}_spec.rb") if rspec?

        template "subscriber_test.rb", "test/#{specification}_test.rb"
      end

      private

      # "Order" and "order_subscriber" both name the OrderSubscriber.
      def file_name
        "#{super.delete_suffix(SUFFIX)}#{SUFFIX}"
      end

      def directory
        options[:directory].delete_prefix("./").chomp("/")
      end

      def path
        [directory, *class_path, file_name].join("/")
      end

      # Below spec/ or test/.
      def specification
        path.delete_prefix("app/")
      end

      # The modules that the class is in.
      def modules
        below = directory.match?(ROOT) ? directory.sub(ROOT, "").split("/") : []
        [*below, *class_path].map(&:camelize)
      end

      def constant
        [*modules, file_name.camelize].join("::")
      end

      # What the names of its metrics begin with.
      def metric
        constant.underscore.tr("/", "_")
      end

      def autoloaded?
        directory.match?(ROOT)
      end

      def events
        options[:events].map { |name| Text.of(name) }.uniq
      end

      # Method to event, of the events that have a method of their own: neither a pattern nor two names that look alike.
      def handlers
        events.reject { |name| name.include?("*") }.group_by { |name| BaseSubscriber::Handlers.method_of(name) }
              .select { |method, names| names.one? && method != BaseSubscriber::Handlers::ANY }
              .transform_values(&:first)
      end

      # Whether there are events without a method of their own.
      def others?
        handlers.size < events.size
      end

      # Events that are published to see whether they arrive.
      def examples
        events.map { |name| name.gsub("*", "example") }.uniq
      end

      def rspec?
        return true if %w[spec .rspec].any? { |name| File.exist?(File.join(destination_root, name)) }

        ::Rails::Generators.options.dig(:rails, :test_framework) == :rspec
      end

      # What a specification requires to have the application: its helper, else the application itself.
      def helper(name, directory)
        return %(require "#{name}") if File.exist?(File.join(destination_root, directory, "#{name}.rb"))

        up = "../" * (specification.count("/") + 1)
        %(ENV["RAILS_ENV"] ||= "test"\nrequire_relative "#{up}config/environment")
      end

      # Puts what a template has in the block into the modules of the class.
      def nested(&)
        code = modules.reverse.reduce(capture(&)) { |inner, name| "module #{name}\n#{indent(inner.chomp)}\nend\n" }
        concat(code)
      end
    end
  end
end
