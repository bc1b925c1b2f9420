# frozen_string_literal: true

# The fenced blocks of a Markdown file. The words after the language say what a specification does with a block:
#
#   ruby         run, in order with the others of its file, in a fresh process that has the gem loaded
#   ruby rails   the same, in a process that has booted a small Rails application
#   sh           run by bash in the checkout
#   console      shown only: it installs something, or shows what a terminal says
module Markdown
  RUN = ["ruby", "ruby rails", "sh"].freeze
  SHOWN = %w[console text yaml json prometheus].freeze

  Fence = Struct.new(:info, :code, :line, keyword_init: true)

  FENCE = /^(?<indent> *)```(?<info>[^`\n]*)\n(?<code>.*?)^\k<indent>```$/m

  def self.fences(text)
    text.to_enum(:scan, FENCE).map do
      match = Regexp.last_match
      code = match[:code].gsub(/^#{match[:indent]}/, "")
      Fence.new(info: match[:info].strip, code:, line: match.pre_match.count("\n") + 2)
    end
  end

  # What links to the headings are called, as GitHub makes them.
  def self.sections(text)
    text.gsub(FENCE, "").scan(/^#+ (.+)$/).map { |(title)| title.downcase.gsub(/[^\w\- ]/, "").tr(" ", "-") }
  end

  # The code with each `expression # => value` turned into a check that the expression inspects as the value. Lines stay
  # where they are, so an error names the line of the document.
  def self.checked(code)
    code.gsub(/^(\s*)(\S.*?)\s+# => (.+)$/) { "#{$1}$shown.(#{$3.inspect}, __LINE__, (#{$2}))" } # rubocop:disable Style/PerlBackrefs
  end
end
