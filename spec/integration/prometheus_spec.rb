# frozen_string_literal: true

require "json"
require "socket"
require "tmpdir"
require "yaml"

RSpec.describe "A real Prometheus" do
  def free_port
    TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
  end

  # Runs Prometheus against the application while the block does, which gets a way to ask it.
  def with_prometheus(application)
    Dir.mktmpdir do |directory|
      job = { "job_name" => "shop", "authorization" => { "credentials" => "hunter2" },
              "static_configs" => [{ "targets" => ["127.0.0.1:#{application.port}"] }] }
      File.write("#{directory}/prometheus.yml",
                 { "global" => { "scrape_interval" => "2s", "scrape_timeout" => "2s" },
                   "scrape_configs" => [job] }.to_yaml)
      port = free_port
      server = spawn("prometheus", "--config.file=#{directory}/prometheus.yml", "--storage.tsdb.path=#{directory}/data",
                     "--web.listen-address=127.0.0.1:#{port}", %i[out err] => ["#{directory}/log", "w"])
      yield ->(query) { ask(port, query) }
    ensure
      Process.kill(:KILL, server)
      Process.wait(server)
    end
  end

  def ask(port, query)
    answer = Net::HTTP.get(URI("http://127.0.0.1:#{port}/api/v1/query?#{URI.encode_www_form(query: query)}"))
    JSON.parse(answer).fetch("data").fetch("result")
        .to_h { |series| [series.fetch("metric").except("__name__"), series.fetch("value").last.to_f] }
  rescue SystemCallError, EOFError, Net::ReadTimeout, JSON::ParserError, KeyError => e
    raise RSpec::Expectations::ExpectationNotMetError, "Prometheus does not answer yet: #{e.message}"
  end

  it "scrapes any worker and has the totals that the client saw answered" do
    Application.open(env: { "METRICS_TOKEN" => "hunter2" }) do |application|
      # Each scrape comes on a new connection, so that any worker may take it.
      application.serve(puma: "persistent_timeout 1")
      with_prometheus(application) do |query|
        tally = Hash.new(0)
        paths = %w[/index /boom /unknown/route /elsewhere /denied].cycle.first(200)
        clients = paths.each_slice(50).map do |part|
          Thread.new { part.map { |path| application.request("GET", path).code } }
        end
        clients.flat_map(&:value).each { |code| tally[{ "status" => "#{code[0]}xx" }] += 1 }

        eventually(within: 120, every: 0.5) do
          # Prometheus' own scrapes are requests as well, the only ones outside of actions that end well.
          counted = query.call('sum by (status) (http_requests_total{action!=""} or http_requests_total{status="4xx"})')
          expect(counted).to eq(tally)
          observed = query.call('sum(http_request_duration_seconds_bucket{action!="",le="+Inf"})')
          expect(observed).to eq({} => 160)
          expect(query.call("up").values).to eq([1.0])
          expect(query.call("count(scrapes_answered > 0)")).to eq({} => 3)
        end
      end
    end
  end
end
