# frozen_string_literal: true

# A publisher as dry-events makes them, which is not packaged for Debian: names have to be registered, listeners are
# given an event with `id`, `payload` and `[]`, they run one after the other, and none of them can be taken back.
class EventPublisher
  class UnregisteredName < StandardError; end

  Event = Struct.new(:id, :content) do
    def payload(data = nil)
      data ? self.class.new(id, content.merge(data)) : content
    end

    def [](key)
      content.fetch(key)
    end
  end

  Bus = Struct.new(:events, :listeners)

  attr_reader :__bus__

  def initialize(*names)
    @__bus__ = Bus.new(names.to_h { |name| [name, Event.new(name, {})] }, Hash.new { |all, name| all[name] = [] })
  end

  def subscribe(name, _query = {}, &block)
    raise UnregisteredName, "#{name.inspect} is not registered" unless __bus__.events.key?(name)

    __bus__.listeners[name] << block
    self
  end

  def publish(name, payload = {})
    __bus__.listeners[name].each { |listener| listener.call(__bus__.events.fetch(name).payload(payload)) }
    self
  end
end
