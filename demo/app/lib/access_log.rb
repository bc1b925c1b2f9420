# frozen_string_literal: true

# One line for each answered request: which process answered what, with which status, for whom.
# It is how the demo knows which of the workers a scrape came to.
class AccessLog
  def initialize(app, path)
    @app = app
    # Appended in one write per line, so that the workers' lines never mix.
    @file = File.open(path, File::WRONLY | File::APPEND | File::CREAT)
    @file.sync = true
  end

  def call(env)
    answer = @app.call(env)
    agent = env["HTTP_USER_AGENT"].to_s[%r{\A[^/\s]+}] || "-"
    @file.write("#{Process.pid} #{answer[0]} #{env["REQUEST_METHOD"]} #{env["PATH_INFO"]} #{agent}\n")
    answer
  end
end
