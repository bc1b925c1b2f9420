# frozen_string_literal: true

namespace :audit do
  desc "Write the names of LIMIT packages to audit to PLAN: installed ones, and some that are recommended but absent"
  task plan: :environment do
    limit = Integer(ENV.fetch("LIMIT"))
    # Taken at even distances, since neighbours in dpkg's list are much alike.
    spread = lambda do |names, count|
      count = [count, names.size].min
      Array.new(count) { |index| names[index * names.size / count] }
    end
    plan = { "recommended" => spread.call(Dpkg.recommended_but_absent, limit / 10) }
    plan["installed"] = spread.call(Dpkg.installed, limit - plan["recommended"].size)
    plan.each { |why, names| Metrics::PLANNED.increment(names.size, why: why) }
    File.write(ENV.fetch("PLAN"), plan.values.flatten.sort.join("\n"))
  end
end
