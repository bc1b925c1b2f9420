# frozen_string_literal: true

module Demo
  # What the person sees while the demo runs.
  module Terminal
    WIDTH = 118
    EVERY = 5 # seconds between lines of progress where a line cannot be rewritten

    module_function

    # Says what is done, and then how long it took, and what came of it where the block returns words.
    def step(name)
      started = Wait.now
      print format("%-34s", name)
      $stdout.flush
      note = yield
      puts "ok  #{(Wait.now - started).round} s#{"   #{note}" if note.is_a?(String)}"
    end

    # One line that rewrites itself; where that is impossible, a line now and then.
    def progress(text)
      if $stdout.tty?
        print "\r\e[K#{text}"
        $stdout.flush
      elsif !@said || Wait.now - @said > EVERY
        @said = Wait.now
        puts text
      end
    end

    def end_progress(text)
      puts $stdout.tty? ? "\r\e[K#{text}" : text
    end

    def heading(text)
      puts "", text, "-" * text.length
    end

    def excerpt(text, lines)
      text.each_line.first(lines).each { |line| puts "  #{cut(line.chomp)}" }
    end

    def cut(line)
      line.length > WIDTH ? "#{line[0, WIDTH - 1]}…" : line
    end
  end
end
