# frozen_string_literal: true

module Bench
  module Subjects
    # Defined once everything is loaded that wants to be asked when a Rails application comes to be.
    class Application < ::Rails::Application
      config.cache_classes = config.eager_load = true
      config.api_only = true
      config.public_file_server.enabled = false
      config.secret_key_base = "bench" * 16
      config.logger = ActiveSupport::Logger.new(File::NULL)
      config.log_level = :warn

      def self.start(directory)
        config.root = directory
        instance.initialize!
        instance.routes.draw { get "empty", to: EmptyController.action(:show) }
        instance
      end
    end

    class EmptyController < ActionController::API
      def show
        head :no_content
      end
    end
  end
end
