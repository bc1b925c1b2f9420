# frozen_string_literal: true

module TaskerTelemetry
  # The ancestor of everything that this gem raises, except ArgumentError for a wrong argument.
  class Error < StandardError; end

  # A setting that does not exist, or whose value cannot be used.
  class ConfigurationError < Error; end

  # A metric that cannot be declared: a name or label outside the rules, or a clash with an earlier declaration.
  class DeclarationError < Error; end

  # A sample that was refused. Raised with `config.strict` only; it is counted either way.
  class InvalidSample < Error; end

  # A subscriber that cannot be told of its events: a method is missing, or is one for two events.
  class SubscriptionError < Error; end

  # The native side failed in a way that is no mistake of the caller's.
  class NativeError < Error; end
end
