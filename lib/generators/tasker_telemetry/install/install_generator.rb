# frozen_string_literal: true

require "rails/generators/base"

module TaskerTelemetry
  # What `bin/rails generate tasker_telemetry:…` makes.
  module Generators
    # Writes config/initializers/tasker_telemetry.rb, with every option explained.
    class InstallGenerator < ::Rails::Generators::Base
      desc "Writes an initializer that explains every option, each at its default"
      source_root File.expand_path("templates", __dir__)

      # @api private
      def create_initializer
        copy_file "initializer.rb", "config/initializers/tasker_telemetry.rb"
      end
    end
  end
end
