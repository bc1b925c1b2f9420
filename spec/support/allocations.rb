# frozen_string_literal: true

# Counting what a call makes, rather than timing it.
module Allocations
  # Objects that one call makes: the least of some rounds, since the first one also makes what is made once, and other
  # threads may make something in any of them.
  def objects(call)
    GC.disable
    Array.new(5) do
      before = GC.stat(:total_allocated_objects)
      count = 0
      while count < 1_000
        call.call
        count += 1
      end
      (GC.stat(:total_allocated_objects) - before) / 1_000.0
    end.min
  ensure
    GC.enable
  end
end

RSpec.configure { |config| config.include Allocations }
