# frozen_string_literal: true

module Demo
  # The processes that the demo has started, and their logs. None outlives it.
  class Children
    Child = Struct.new(:name, :pid, :log, :status)

    # What may end the demo before its time.
    SIGNALS = %i[INT TERM HUP].freeze
    PATIENCE = 15 # seconds for a process to end when it is asked to

    def initialize(logs)
      @logs = logs
      Dir.mkdir(logs)
      @children = []
    end

    # Starts a process in a group of its own: a Ctrl-C on the terminal reaches the demo alone, which ends the others
    # in order.
    #
    # @return [Child]
    def start(name, *command, dir: nil, env: {})
      log = log(name)
      options = { in: File::NULL, out: [log, "a"], err: %i[child out], pgroup: true }
      options[:chdir] = dir if dir
      undisturbed { Child.new(name, Process.spawn(env, *command, options), log).tap { |child| @children << child } }
    end

    # @return [String] the path of a log
    def log(name)
      File.join(@logs, "#{name}.log")
    end

    # Runs a command to its end.
    #
    # @return [String] the path of its log
    # @raise [Failure] when it fails
    def run(name, *command, dir: nil, env: {})
      child = start(name, *command, dir: dir, env: env)
      finish(child) or raise Failure.new("#{command.join(" ")} failed", child.log)
      child.log
    end

    # Waits for a process.
    #
    # @return [Boolean] whether it ended well
    def finish(child)
      child.status ||= Process.wait2(child.pid).last
      @children.delete(child)
      child.status.success?
    end

    # @raise [Failure] when a process that should run has ended
    def check
      @children.each do |child|
        _, child.status = Process.wait2(child.pid, Process::WNOHANG) unless child.status
        raise Failure.new("#{child.name} ended by itself (#{child.status})", child.log) if child.status
      end
    end

    # Asks a process to end, and sees to it.
    def stop(child, signal = :TERM)
      Process.kill(signal, child.pid) unless child.status
      Wait.until("#{child.name} to end", PATIENCE, log: child.log) do
        child.status ||= Process.wait2(child.pid, Process::WNOHANG)&.last
      end
      @children.delete(child)
    end

    # Ends what still runs, the youngest first. What does not end when asked is killed, with all that it started.
    def stop_all
      @children.reverse.each do |child|
        stop(child)
      rescue Failure
        Process.kill(:KILL, -child.pid)
        finish(child)
      rescue Errno::ESRCH, Errno::ECHILD
        next # it ended, and the signal that ended the demo came before that was noted
      end
    end

    private

    # A signal that comes between the start of a process and its entry in the list waits, else nobody would end it.
    def undisturbed
      came = nil
      before = SIGNALS.to_h { |signal| [signal, trap(signal) { came = signal }] }
      yield
    ensure
      before&.each { |signal, handler| trap(signal, handler) }
      Process.kill(came, Process.pid) if came
    end
  end
end
