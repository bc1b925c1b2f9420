# frozen_string_literal: true

module TaskerTelemetry
  # A piece of work in a trace. Made by {TaskerTelemetry.span} and {TaskerTelemetry.continue_trace}, which also end it.
  # Any thread may tell of it. Nothing that is told of it raises: what cannot be shown is left out, and what comes after
  # its end, or is told of one that is not {#recording?}, goes nowhere.
  class Span
    # @!method []=(name, value)
    #   Tells something of it. The same name again replaces; nil changes nothing. What the configuration filters is
    #   masked.
    #   @param name [String, Symbol]
    #   @param value [Object] text, numbers, true, false and times as they are; Hashes and Arrays as JSON text; of other
    #     objects their `to_s`, if it is one of their own
    #   @return [nil]
    # @!method set_attribute(name, value)
    #   As {#[]=}.
    #   @param name (see #[]=)
    #   @param value (see #[]=)
    #   @return [nil]
    # @!method add_event(name, attributes = {})
    #   Tells of something that happens in it now.
    #   @param name [String, Symbol]
    #   @param attributes [Hash{String, Symbol => Object}]
    #   @return [nil]
    # @!method record_exception(exception)
    #   Says that it failed by that exception, which becomes an event of it. One that leaves the block of
    #   {TaskerTelemetry.span} is recorded by itself.
    #   @param exception [Exception] class, message and the first lines of its backtrace are kept
    #   @return [nil]
    # @!method error!(message = nil)
    #   Says that it failed, without an exception.
    #   @param message [String, nil]
    #   @return [nil]
    # @!method name=(name)
    #   Gives it another name.
    #   @param name [String, Symbol]
    # @!method finish
    #   Ends it; doing so again changes nothing. The methods that made it do it by themselves, when their block is left.
    #   @return [nil]
    # @!method trace_id
    #   @return [String] 32 hexadecimal digits
    # @!method span_id
    #   @return [String] 16 hexadecimal digits
    # @!method traceparent
    #   @return [String, nil] what stands for it in a header of W3C's Trace Context; nil where traces are off
    # @!method recording?
    #   @return [Boolean] whether what is told of it goes anywhere: traces are on, its trace is kept, it has not ended

    # Only the methods that give a block make one.
    private_class_method :new
  end
end
