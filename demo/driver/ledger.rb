# frozen_string_literal: true

module Demo
  # Figures of one thing from several sources, side by side, which must be the same.
  class Ledger
    NAMES = 34
    WIDTH = 16

    def initialize
      @same = true
    end

    def same?
      @same
    end

    # @param sources [Array<String>] who says what the columns hold
    def section(title, sources)
      puts "", line(title, sources)
    end

    def row(name, figures)
      same = figures.uniq.size == 1
      @same &&= same
      puts "#{line(name, figures.map { |figure| grouped(figure) })}   #{same ? "OK" : "DIFFERENT"}"
    end

    private

    def line(name, columns)
      "  #{name.ljust(NAMES)}#{columns.map { |column| column.rjust(WIDTH) }.join}"
    end

    def grouped(figure)
      figure.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, " ")
    end
  end
end
