# frozen_string_literal: true

require "json"
require "uri"
require "yaml"

module Demo
  # A Prometheus that scrapes the application, and what it answers when asked.
  class Prometheus
    INTERVAL = 1.5 # seconds; longer than Puma keeps an idle connection, so that each scrape finds its own worker

    def initialize(directory, children)
      @directory = directory
      @children = children
      @port = Http.free_port
    end

    def start(target_port, token)
      job = { "job_name" => "package_audit", "authorization" => { "credentials" => token },
              "static_configs" => [{ "targets" => ["127.0.0.1:#{target_port}"] }] }
      interval = "#{(INTERVAL * 1000).to_i}ms"
      config = File.join(@directory, "prometheus.yml")
      File.write(config, YAML.dump("global" => { "scrape_interval" => interval, "scrape_timeout" => interval },
                                   "scrape_configs" => [job]))
      child = @children.start("prometheus", "prometheus", "--config.file=#{config}", "--log.level=warn",
                              "--storage.tsdb.path=#{File.join(@directory, "tsdb")}",
                              "--web.listen-address=127.0.0.1:#{@port}")
      Wait.until("Prometheus to scrape", 30, log: child.log) do
        @children.check
        total("up") == 1
      end
    end

    # @return [Numeric] the sum of what an expression gives; 0 when it gives nothing
    def total(expression)
      query("sum(#{expression})").sum { |sample| number(sample["value"][1]) }
    end

    # @return [Numeric] of a histogram the number of observations, of anything else {#total}
    def observed(name)
      total(name.end_with?("_seconds") ? "#{name}_count" : name)
    end

    # @return [Hash{String=>Numeric}] the sums by one label
    def by(label, selector)
      query("sum by (#{label}) (#{selector})").to_h { |sample| [sample["metric"][label], number(sample["value"][1])] }
    end

    # Waits for a scrape that began after the call and succeeded: what it saw is all that was counted until now, and
    # what is asked from here on is answered from it. Prometheus knows a sample's own time only of a bare selector; of
    # `up == 1` it would tell the time at which it was asked.
    def catch_up
      now = Time.now.to_f
      scraped = 0
      Wait.until("Prometheus to scrape again", 60) do
        scraped = total('timestamp(up{job="package_audit"}) and (up{job="package_audit"} == 1)')
        scraped > now
      end
      @moment = scraped
    end

    private

    def query(expression)
      answer = Http.get(@port, "/api/v1/query?#{URI.encode_www_form({ query: expression, time: @moment }.compact)}")
      return [] unless answer&.code == "200"

      JSON.parse(answer.body).fetch("data").fetch("result")
    end

    def number(text)
      float = Float(text)
      float == float.to_i ? float.to_i : float
    end
  end
end
