# frozen_string_literal: true

require "fileutils"
require "json"
require "tasker_telemetry"

module TaskerTelemetry
  # What the rake tasks print.
  #
  # @api private
  class Report
    FORMATS = %w[text json].freeze
    # What people need not be told of an event.
    USUAL = { sample: 1.0, priority: "normal", enabled: true }.freeze
    private_constant :USUAL

    # Ends the process with a status other than 0 when the block raises, and says why in one line.
    def self.run(task)
      yield new($stdout)
    rescue Error, ArgumentError, SystemCallError => e
      abort "tasker_telemetry:#{task}: #{e.message}"
    end

    # @param out [IO]
    def initialize(out)
      @out = out
    end

    # @param format [String] "text" or "json"
    def status(format)
      check(format)
      status = TaskerTelemetry.status
      format == "json" ? @out.puts(JSON.pretty_generate(status)) : print_tree(status)
      insist_on_arena(status[:metrics])
    end

    # @param format (see #status)
    def events(format)
      check(format)
      events = TaskerTelemetry.events.catalogue
      return @out.puts(JSON.pretty_generate(events)) if format == "json"

      print_tree(events.to_h { |event| [event[:name], summary(event)] })
    end

    # Nothing is printed: there is nothing to say but that it could not be done.
    def forget
      TaskerTelemetry.events.forget
      insist_on_arena(MetricsBackend.instance.stats)
    end

    # @param format [String] one of Native.formats
    # @param file [String, nil] to be written whole or not at all; without one the page is printed
    def export(format, file)
      page = MetricsBackend.instance.page(format)
      raise Error, "metrics are switched off (config.metrics.enabled)" unless TaskerTelemetry.config.metrics.enabled

      insist_on_arena(MetricsBackend.instance.stats)
      return write(page, @out) if file.nil? || file.empty?

      put(file) { |io| write(page, io) }
    end

    private

    def check(format)
      return if FORMATS.include?(format)

      raise ArgumentError, "FORMAT cannot be #{format.inspect}; accepted: #{FORMATS.join(", ")}"
    end

    def summary(event)
      { description: event[:description], kind: event[:kind], backends: event[:backends].join(", "),
        **event.slice(*USUAL.keys).reject { |key, value| USUAL[key] == value },
        payload_keys: event[:payload_keys].join(", "),
        metrics: event[:metrics].map { |metric| "#{metric[:name]}{#{metric[:labels].join(", ")}}" }.join(", ") }
    end

    # A page of this process alone would look like one of an application that does nothing.
    def insist_on_arena(stats)
      return unless stats[:enabled] && TaskerTelemetry.config.metrics.arena != :memory
      return if stats.dig(:arena, :path)

      reasons = stats[:notices].map { |notice| notice[:message] }
      raise Error, ["what other processes counted cannot be seen", *reasons].join("; ")
    end

    def write(page, io)
      # Pages are bytes, and neither end of line nor encoding are to be changed on the way.
      io.binmode
      while (chunk = page.next_chunk)
        io.write(chunk)
      end
      io.flush
    end

    # A device or a pipe is written to; whatever else there is, is replaced. A symbolic link stays one.
    def put(file, &)
      file = File.realdirpath(file)
      return File.open(file, "wb", &) if File.exist?(file) && !File.file?(file)

      replace(file, &)
    end

    # Readers see the old file or the new one. The name is one that no other process chooses, in the same directory,
    # for only within one file system can a file be renamed.
    def replace(file)
      fresh = "#{file}.#{Process.pid}.#{rand(2**32).to_s(36)}.tmp"
      File.open(fresh, File::WRONLY | File::CREAT | File::EXCL, 0o600) do |io|
        take_over(File.stat(file), io) if File.exist?(file)
        yield io
        io.fsync
      end
      File.rename(fresh, file)
    rescue StandardError
      FileUtils.rm_f(fresh)
      raise
    end

    # What was counted is not for everyone on the machine: who shall read the file is told by the owner and the mode of
    # the one that it replaces.
    def take_over(replaced, io)
      io.chown(replaced.uid, replaced.gid)
    rescue Errno::EPERM
      # To give a file away takes root.
    ensure
      io.chmod(replaced.mode & 0o777)
    end

    def print_tree(value, indent = "")
      value.each do |name, below|
        value.is_a?(Hash) ? print_branch("#{indent}#{name}:", below, indent) : print_branch("#{indent}-", name, indent)
      end
    end

    def print_branch(lead, below, indent)
      return @out.puts("#{lead} #{leaf(below)}") unless below.respond_to?(:each) && !below.empty?

      @out.puts(lead)
      print_tree(below, "#{indent}  ")
    end

    def leaf(value)
      return "none" if value.nil? || (value.respond_to?(:empty?) && value.empty?)

      value.to_s
    end
  end
end
