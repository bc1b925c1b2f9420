# frozen_string_literal: true

# What dpkg has written down about the packages of this machine.
module Dpkg
  ROOT = Pathname("/var/lib/dpkg")

  # @!attribute checksums [Hash{String=>String}] absolute path => MD5, of files and configuration files
  Record = Struct.new(:name, :version, :checksums, keyword_init: true)

  class << self
    # @return [Array<String>] names of all installed packages
    def installed
      each_paragraph.select { |text| installed?(text) }.map { |text| field(text, "Package") }.uniq
    end

    # @return [Array<String>] what installed packages recommend and this machine lacks
    def recommended_but_absent
      present = each_paragraph.select { |text| installed?(text) }
      # Of alternatives, one is enough; those are left alone.
      wanted = present.flat_map { |text| relations(text, "Recommends").reject { |relation| relation.include?("|") } }
      provided = present.flat_map { |text| relations(text, "Provides") }
      (names(wanted) - names(provided) - installed).sort
    end

    # @return [Record, nil]
    def find(name)
      text = each_paragraph.find { |paragraph| paragraph.start_with?("Package: #{name}\n") && installed?(paragraph) }
      text && Record.new(name: name, version: field(text, "Version"),
                         checksums: checksums(name, field(text, "Architecture")).merge(conffiles(text)))
    end

    private

    def each_paragraph
      ROOT.join("status").each_line("\n\n", encoding: Encoding::UTF_8)
    end

    def installed?(text)
      text.match?(/^Status: \S+ ok installed$/)
    end

    def field(text, name)
      text[/^#{name}: (.*)$/, 1]
    end

    def relations(text, name)
      field(text, name).to_s.split(",")
    end

    # Relations may restrict versions and architectures.
    def names(relations)
      relations.filter_map { |relation| relation[/[^\s:(]+/] }.uniq
    end

    def checksums(name, architecture)
      list = [name, "#{name}:#{architecture}"].map { |file| ROOT.join("info", "#{file}.md5sums") }.find(&:exist?)
      return {} unless list

      list.each_line(chomp: true).to_h do |line|
        sum, path = line.split(/  /, 2)
        [diverted("/#{path}", name), sum]
      end
    end

    def conffiles(text)
      listed = text[/^Conffiles:\n((?: .*\n)+)/, 1].to_s.lines.map(&:split)
      # A third word marks one that the package no longer ships.
      listed.select { |words| words.size == 2 && words[1] != "newconffile" }.to_h
    end

    # A file that another package has moved out of the way lies where the diversion says.
    def diverted(path, name)
      to, by = diversions[path]
      to && by != name ? to : path
    end

    def diversions
      @diversions ||= ROOT.join("diversions").each_line(chomp: true).each_slice(3)
                          .to_h { |from, to, by| [from, [to, by]] }
    end
  end
end
