# frozen_string_literal: true

module Demo
  # One audit as the application's own tables have it, and what follows from that for whoever measured it.
  Audit = Struct.new(:package, :outcome, :files, :seconds) do
    def failed?
      outcome != "intact"
    end

    # @return [Hash{String=>Integer}] how many attempts each step took
    def attempts
      { "record" => 1, "verify" => attempts_to_verify, "store" => 1 }.reject { |_, number| number.zero? }
    end

    def retries
      attempts.values.sum - attempts.size
    end

    # Those that were tried again, and the one at which something wrong was found.
    def failed_attempts
      retries + (failed? ? 1 : 0)
    end

    private

    # There is nothing to verify where no checksums were found.
    def attempts_to_verify
      return 0 if %w[absent unverifiable].include?(outcome)

      files > self.class::FILES_AT_FIRST ? 2 : 1
    end
  end
  Audit::FILES_AT_FIRST = 32 # as AuditWorkflow says
end
