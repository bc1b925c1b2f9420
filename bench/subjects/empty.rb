# frozen_string_literal: true

require "fileutils"
require "rbconfig"

module Bench
  module Subjects
    # The limit: native methods without a body, called as the real ones are.
    class Empty
      SOURCE = File.expand_path("../empty", __dir__)

      def self.title
        "empty native method"
      end

      def initialize(_directory)
        require extension
        @object = ::Empty.new
      end

      def calls
        { "bound counter" => [@object, "it.none"],
          "counter" => [@object, "it.any"],
          "counter, 2 labels" => [@object, 'it.any(status: "paid", queue: "mail")'],
          "counter, 2 labels, constant Hash" => [@object, "it.any(**Bench::LABELS)"],
          "gauge" => [@object, "it.any(7)"],
          "bound histogram" => [@object, "it.any(0.31)"],
          "histogram, 2 labels" => [@object, 'it.any(0.31, status: "paid", queue: "mail")'] }
      end

      private

      # Built once per Ruby, in the checkout's tmp/.
      def extension
        place = File.expand_path("../../tmp/bench/empty-#{RUBY_VERSION}-#{RUBY_PLATFORM}", __dir__)
        built = File.join(place, "empty.#{RbConfig::CONFIG["DLEXT"]}")
        return built if File.exist?(built)

        FileUtils.mkdir_p(place)
        log = File.join(place, "build.log")
        compiled = [[RbConfig.ruby, File.join(SOURCE, "extconf.rb")], ["make"]].all? do |command|
          system(*command, chdir: place, out: [log, "a"], err: %i[child out])
        end
        compiled ? built : raise(LoadError, "the empty extension cannot be built; see #{log}")
      end
    end
  end
end
