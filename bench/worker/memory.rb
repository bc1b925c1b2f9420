# frozen_string_literal: true

module Bench
  module Worker
    # What the kernel says that this process takes.
    module Memory
      module_function

      # Memory of its own, in bytes: files mapped by several processes are not in it.
      def private_bytes
        GC.start
        # Counted page by page, while the kernel's running totals may be off by some dozens for each processor.
        field("/proc/self/smaps_rollup", "Anonymous")
      end

      # The most memory that was resident at a time while the block ran, above what was before.
      def peak_above
        GC.start
        File.write("/proc/self/clear_refs", "5")
        before = field("/proc/self/status", "VmRSS")
        yield
        field("/proc/self/status", "VmHWM") - before
      end

      def field(file, name)
        File.read(file)[/^#{name}:\s+(\d+) kB/, 1].to_i * 1024
      end
    end
  end
end
