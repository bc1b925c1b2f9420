# frozen_string_literal: true

require_relative "faulty_collector"
require_relative "traced_process"

# A process of the example's own, which sends its spans to a collector of the example's own. `env` in the metadata is
# the process's environment.
RSpec.shared_context "with a sending process", :sending_process do
  around do |example|
    FaultyCollector.open do |collector|
      @collector = collector
      TracedProcess.open(collector.endpoint, env: example.metadata.fetch(:env, {})) do |process|
        (@process = process) && example.run
      end
    end
  end

  attr_reader :collector, :process
end
