# frozen_string_literal: true

RSpec.describe "A Rails application under Puma with three workers" do
  # What the client asks, and what it expects to be counted as.
  requests = {
    ["GET", "/index"] => %w[pages index 2xx],
    ["HEAD", "/index"] => %w[pages index 2xx],
    ["POST", "/index"] => %w[pages index 2xx],
    ["OPTIONS", "/index"] => %w[pages index 2xx],
    ["GET", "/show"] => %w[pages show 2xx],
    ["GET", "/stream"] => %w[pages stream 2xx],
    ["GET", "/elsewhere"] => %w[pages elsewhere 3xx],
    ["GET", "/not_modified"] => %w[pages not_modified 3xx],
    ["GET", "/denied"] => %w[pages denied 4xx],
    ["GET", "/boom"] => %w[pages boom 5xx],
    ["GET", "/no_such_action"] => ["", "", "4xx"],
    ["GET", "/anything/whatever"] => ["anything", "", "2xx"],
    ["GET", "/unknown/route"] => ["", "", "4xx"],
    ["GET", "/robots.txt"] => ["", "", "2xx"],
    ["HEAD", "/robots.txt"] => ["", "", "2xx"],
    ["GET", "/rack"] => ["", "", "2xx"],
    ["PROPFIND", "/unknown/route"] => ["", "", "4xx"]
  }
  known = %w[GET HEAD POST OPTIONS]

  # The counted requests of a page, as {[controller, action, method, status] => total}.
  def totals(page)
    parse_page(page, :prometheus).filter_map do |(name, labels), value|
      [labels.values_at("controller", "action", "method", "status"), value.to_i] if name == "http_requests_total"
    end.to_h
  end

  def observations(page)
    parse_page(page, :prometheus).filter_map do |(name, labels), value|
      next unless name == "http_request_duration_seconds_count"

      [labels.values_at("controller", "action", "method", "status"), value.to_i]
    end.to_h
  end

  [true, false].each do |preload|
    it "counts exactly what the client saw answered, #{preload ? "with" : "without"} preload_app" do
      Application.open do |application|
        application.serve(preload: preload)
        headers = { "if-none-match" => %(W/"#{Digest::MD5.hexdigest("the same")}") }
        etag = application.request("GET", "/not_modified")["etag"]
        tally = Hash.new(0)
        tally[%w[pages not_modified GET 2xx]] += 1

        asked = requests.keys.flat_map do |request|
          [request] * 25
        end.shuffle(random: Random.new(RSpec.configuration.seed))
        headers["if-none-match"] = etag
        answered = asked.each_slice(asked.size / 8).map do |part|
          Thread.new do
            part.map { |method, path| [[method, path], application.request(method, path, headers)] }
          end
        end.flat_map(&:value)

        answered.each do |request, response|
          # Newer Pumas answer methods that they do not know by themselves.
          next if response.code == "501"

          controller, action, status = requests.fetch(request)
          expect("#{response.code[0]}xx").to eq(status), "#{request} was answered #{response.code}"
          tally[[controller, action, known.include?(request.first) ? request.first : "OTHER", status]] += 1
        end
        who = answered.filter_map { |_, response| response["x-worker"] }.uniq
        eventually(within: 60) do
          who |= [application.request("GET", "/rack")["x-worker"]]
          tally[["", "", "GET", "2xx"]] += 1
          who.size == 3
        end

        # Whatever worker answers shows all of it, its own scrapes so far included.
        workers = []
        eventually(within: 60) do
          response = application.request("GET", "/metrics")
          expect(totals(response.body)).to eq(tally)
          expect(observations(response.body)).to eq(tally)
          tally[["", "", "GET", "2xx"]] += 1
          workers |= [response["x-worker"]]
          workers.size == 3
        rescue RSpec::Expectations::ExpectationNotMetError => e
          raise e.message
        end
      end
    end
  end

  it "goes on from where it was after a worker was killed and after a restart" do
    Application.open do |application|
      application.serve
      10.times { application.request("GET", "/index") }
      Process.kill(:KILL, application.request("GET", "/index")["x-worker"].to_i)
      eventually(within: 60) { application.log.scan("booted").size == 4 }
      10.times { application.request("GET", "/index") }
      application.stop
      application.serve
      page = application.request("GET", "/metrics").body
      expect(totals(page)).to include(%w[pages index GET 2xx] => 21)
    end
  end

  it "counts for the old release and the new one while a phased restart puts one in place of the other" do
    release = lambda do |number, labels, buckets, kind|
      <<~RUBY
        SOLD = TaskerTelemetry.counter(:sold_total, "Sold by release #{number}", labels: #{labels.keys})
        TOOK = TaskerTelemetry.histogram(:took_seconds, "Time it took", buckets: #{buckets})
        LEFT = TaskerTelemetry.#{kind}(:left, "Left")
        RELEASE = lambda do
          SOLD.increment(**#{labels})
          TOOK.observe(0.3)
          LEFT.increment
          "#{number}"
        end
      RUBY
    end
    Application.open do |application|
      initializer = "#{application.directory}/config/initializers/release.rb"
      File.write(initializer, release.call(1, { shop: "a" }, [1], "gauge"))
      application.serve(workers: 2, preload: false)
      answers = Hash.new(0)
      ask = lambda do
        answers[application.request("GET", "/release").body] += 1
        page = application.request("GET", "/metrics", "accept" => "application/openmetrics-text; version=1.0.0").body
        parse_page(page, :openmetrics)
      end
      ask.call
      File.write(initializer, release.call(2, { shop: "a", country: "b" }, [0.5, 1], "counter"))
      application.restart_in_phases
      newest = nil
      eventually(within: 120) do
        newest = ask.call
        application.log.scan(/Worker \d+ \(PID: \d+\) booted/).size == 4
      end
      10.times { newest = ask.call }

      sold = application.boot(<<~'RUBY').out.split.map(&:to_i)
        snapshot = TaskerTelemetry.snapshot
        of = ->(series, name) { series.select { |one| one.name == name } }
        puts of.call(snapshot.superseded, "sold_total").sum(&:value), of.call(snapshot, "sold_total").sum(&:value),
             of.call(snapshot.superseded, "took_seconds").sum { |one| one.value[:count] },
             of.call(snapshot, "took_seconds").sum { |one| one.value[:count] }
      RUBY
      expect(sold).to eq(answers.values_at("1", "2") * 2)
      names = newest.keys.map(&:first)
      expect(names).to include("sold_total", "left_total")
      expect(names).not_to include("left")
      expect(application.log).not_to match(/Error/)
    end
  end

  it "shows gauges of live workers only, and the blocks of the worker that is asked" do
    Application.open do |application|
      application.serve
      seen = []
      eventually(within: 60) do
        response = application.request("GET", "/metrics")
        seen |= [response["x-worker"]]
        response.body.match?(/^workers 3$/) && seen.size == 3
      end
    end
  end

  it "protects the endpoint, also where the whole application is asked" do
    Application.open(env: { "METRICS_TOKEN" => "hunter2" }) do |application|
      application.serve(workers: 1)
      expect(application.request("GET", "/metrics").code).to eq("401")
      expect(application.request("GET", "/metrics", "authorization" => "Bearer hunter2").code).to eq("200")
      expect(application.request("POST", "/metrics", "authorization" => "Bearer hunter2").code).to eq("405")
      expect(application.request("GET", "/metrics/below", "authorization" => "Bearer hunter2").code).to eq("404")
    end
  end

  it "warns once at boot, in production, that anyone may read" do
    Application.open(env: { "LOG_LEVEL" => "warn" }) do |application|
      application.serve
      5.times { application.request("GET", "/metrics") }
      expect(application.log.scan("the metrics endpoint is open").size).to eq(1)
    end
  end

  { "LATE" => "first required in an initializer", "EARLY" => "required before Rails" }.each do |variable, moment|
    it "is all there when the gem is #{moment}" do
      Application.open(env: { variable => "1" }) do |application|
        application.serve(workers: 2)
        3.times { application.request("GET", "/boom") }
        application.request("POST", "/work", {}, "good")
        eventually do
          page = application.request("GET", "/metrics").body
          expect(totals(page)).to include(%w[pages boom GET 5xx] => 3)
          expect(page).to include(%(jobs_total{job="WorkJob",queue="work",outcome="completed"} 1\n))
        end
      end
    end
  end
end
