# frozen_string_literal: true

require_relative "../../demo/driver/ledger"

RSpec.describe "Demo::Ledger" do
  subject(:ledger) { Demo::Ledger.new }

  it "calls figures the same that are" do
    expect { ledger.row("all", [4000, 4000, 4000]) }.to output(/all +4 000 +4 000 +4 000   OK\n/).to_stdout
    expect(ledger).to be_same
  end

  it "does not forget a difference" do
    expect { ledger.row("all", [4000, 4000, 3999]) }.to output(/4 000 +3 999   DIFFERENT\n/).to_stdout
    expect { ledger.row("5xx", [1, 1, 1]) }.to output(/OK/).to_stdout
    expect(ledger).not_to be_same
  end
end
