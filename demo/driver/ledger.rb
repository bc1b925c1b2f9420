# frozen_string_literal: true

module Demo
  # Figures of one thing from several sources, side by side, which must agree.
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

    # Figures that are to be the same.
    def row(name, figures)
      enter(name, figures.map { |figure| grouped(figure) }, figures.uniq.size == 1)
    end

    # Seconds of which each source is to have at least as many as the one before.
    def ascending(name, seconds)
      enter(name, seconds.map { |figure| exactly(figure) }, seconds.each_cons(2).all? { |less, more| less <= more })
    end

    # Sums of the same seconds, which differ only by what adding them up in another order makes of them.
    def sums(name, seconds)
      enter(name, seconds.map { |figure| exactly(figure) }, seconds.max - seconds.min <= seconds.max * 1e-9)
    end

    # What is right or wrong as a whole.
    def claim(text, right)
      @same &&= right
      puts "  #{text}"
    end

    private

    def enter(name, columns, right)
      @same &&= right
      puts "#{line(name, columns)}   #{right ? "OK" : "DIFFERENT"}"
    end

    def line(name, columns)
      "  #{name.ljust(NAMES)}#{columns.map { |column| column.rjust(WIDTH) }.join}"
    end

    def grouped(figure)
      figure.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, " ")
    end

    def exactly(seconds)
      format("%.6f s", seconds)
    end
  end
end
