# frozen_string_literal: true

# Samples of examples stay in memory of this process: no file of another run can be seen, none is left behind.
ENV["RACK_ENV"] = "test"

require "tasker_telemetry"
Dir[File.join(__dir__, "support", "**", "*.rb")].each { |file| require file }

RSpec.configure do |config|
  config.disable_monkey_patching!
  config.expect_with(:rspec) do |expectations|
    # A list that should have been empty is shown to its end.
    expectations.max_formatted_output_length = nil
  end
  config.mock_with(:rspec) { |mocks| mocks.verify_partial_doubles = true }
  config.order = :random
  Kernel.srand config.seed
  # A tag that nothing bears any more must not pass as success.
  config.fail_if_no_examples = true

  config.include Deadline
  config.include RubyProcess

  # `GC_STRESS=1 rspec --tag gc_stress` collects garbage at every chance inside these examples, which brings out
  # whatever the extension forgot to keep alive.
  config.around(:each, :gc_stress) do |example|
    GC.stress = ENV["GC_STRESS"] == "1"
    example.run
  ensure
    GC.stress = false
  end
end
