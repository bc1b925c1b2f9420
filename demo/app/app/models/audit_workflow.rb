# frozen_string_literal: true

# One task: is a package on this machine what its maintainers shipped?
class AuditWorkflow
  # What an audit can find wrong. The outcome is the label that it is counted by.
  class Failed < StandardError
    attr_reader :outcome

    def initialize(outcome, detail)
      @outcome = outcome
      super(detail)
    end
  end

  # The step has used up what one attempt may take. Another goes on where it stopped.
  class Postponed < StandardError; end

  CHUNK = 1 << 20
  FILES_AT_FIRST = 32

  def initialize(package)
    @package = package
    @files = 0
    @bytes = 0
    @wrong = Hash.new { |hash, outcome| hash[outcome] = [] }
    @events = AuditEvents.new(package)
  end

  # Runs the three steps. The result is stored, and counted once it is, whether or not something was wrong.
  #
  # @raise [Failed] when the package is not what it should be
  def run
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    failure = audit
    outcome = failure ? failure.outcome : "intact"
    step("store") do
      seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - started
      Audit.where(package: @package).update_all(outcome: outcome, detail: failure&.message, files: @files,
                                                bytes: @bytes, seconds: seconds)
    end
    Metrics::TASKS.increment(outcome: outcome)
    @events.task(failure ? "failed" : "completed", found: outcome, exception_object: failure)
    raise failure if failure
  end

  private

  def audit
    record = step("record") { read_record }
    step("verify") { |attempt| verify(record.checksums, attempt) }
    nil
  rescue Failed => e
    e
  end

  def read_record
    record = Dpkg.find(@package) or raise Failed.new("absent", "is not installed")
    raise Failed.new("unverifiable", "came without checksums") if record.checksums.empty?

    record
  end

  # A large package takes two attempts, so that small ones behind it need not wait for the whole of it.
  def step(name, attempt = 1, &block)
    @events.step(name, attempt) { Metrics::STEPS.time(step: name) { block.call(attempt) } }
  rescue Postponed
    @events.retried(name, attempt + 1)
    step(name, attempt + 1, &block)
  end

  def verify(checksums, attempt)
    checksums.drop(@files).each do |path, sum|
      raise Postponed, "#{@files} of #{checksums.size} files" if attempt == 1 && @files == FILES_AT_FIRST

      outcome = verdict(path, sum)
      @wrong[outcome] << path if outcome
    end
    Metrics::BYTES.increment(@bytes)
    %w[altered missing unreadable].each do |outcome|
      paths = @wrong[outcome]
      raise Failed.new(outcome, "#{paths.size} of #{@files} files, #{paths.first} first") if paths.any?
    end
  end

  def verdict(path, sum)
    @files += 1
    digest = Digest::MD5.new
    File.open(path, "rb") do |file|
      while (chunk = file.read(CHUNK))
        @bytes += chunk.bytesize
        digest << chunk
      end
    end
    "altered" unless digest.hexdigest == sum
  rescue Errno::ENOENT, Errno::ENOTDIR
    "missing"
  rescue SystemCallError
    "unreadable"
  end
end
