# frozen_string_literal: true

# Changes the configuration for one example.
module Configured
  # What stays fixed after the first sample, and so cannot be put back.
  FIXED = %i[service_name environment arena prefix].freeze

  def configure(&)
    @configured = true
    TaskerTelemetry.configure(&)
  end

  def self.included(_base)
    RSpec.configure do |config|
      config.after { TaskerTelemetry.configure { |options| Configured.forget(options) } if @configured }
    end
  end

  def self.forget(options)
    (options.class.options.keys - FIXED).each { |name| options.public_send(:"#{name}=", nil) }
    options.class.groups.each_key { |name| forget(options.public_send(name)) }
  end
end

RSpec.configure { |config| config.include Configured }
