# frozen_string_literal: true

require "etc"

module Bench
  # What the figures were measured on.
  module Machine
    module_function

    def cores
      Etc.nprocessors
    end

    def load
      File.read("/proc/loadavg").split.first(3).join(" ")
    end

    def describe
      cpu = File.read("/proc/cpuinfo")[/^model name\s*:\s*(.+)$/, 1] || RbConfig::CONFIG["host_cpu"]
      memory = File.read("/proc/meminfo")[/^MemTotal:\s+(\d+)/, 1].to_i / (1024**2)
      system = File.read("/etc/os-release")[/^PRETTY_NAME="(.+)"$/, 1]
      "#{cpu}, #{cores} cores, #{memory} GiB; #{system}, Linux #{Etc.uname[:release]}; #{RUBY_DESCRIPTION}"
    end
  end
end
