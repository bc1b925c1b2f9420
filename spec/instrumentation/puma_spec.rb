# frozen_string_literal: true

require "net/http"
require "tmpdir"

RSpec.describe "The instrumentation of Puma" do
  def puma(page)
    parse_page(page, :prometheus).each_with_object({}) do |((name, _), value), all|
      (all[name] ||= []) << value if name.start_with?("puma_")
    end
  end

  [true, false].each do |preload|
    it "shows each worker's own numbers, whichever is asked, #{preload ? "with" : "without"} preload_app" do
      Application.open(env: { "INTERVAL" => "0.1" }) do |application|
        application.serve(workers: 2, preload: preload)
        asked = 0
        ask = lambda do
          asked += 1
          application.request("GET", "/metrics").body
        end
        20.times { application.request("GET", "/index") }
        eventually(within: 60, every: 0.1) do
          numbers = puma(ask.call)
          expect(numbers).to include(
            "puma_workers" => [2], "puma_worker_boots_total" => [2], "puma_threads_max" => [4, 4],
            "puma_backlog" => [0, 0], "puma_phase" => [0, 0], "puma_pool_capacity" => [be_between(3, 4)] * 2
          )
          expect(numbers["puma_threads_running"]).to all(be_between(1, 4))
          expect(numbers["puma_threads_busy"]).to all(be_between(0, 4))
        end
        # Puma tells of a request when it has ended; the newest may not have been read.
        eventually(within: 30) { expect(puma(ask.call)["puma_requests_total"].first).to be_between(20, 20 + asked) }
        counted_before = asked + 20
        application.stop
        application.serve(workers: 2, preload: preload)
        numbers = nil
        eventually(within: 60, every: 0.1) { (numbers = puma(ask.call))["puma_worker_boots_total"] == [4] }
        expect(numbers["puma_workers"]).to eq([2])
        expect(numbers["puma_requests_total"].first).to be >= counted_before
      end
    end
  end

  it "shows a single Puma, its busy threads and what waits for them" do
    Application.open(env: { "INTERVAL" => "0.1" }) do |application|
      File.write("#{application.directory}/config/initializers/hold.rb", <<~RUBY)
        RELEASE = lambda do
          sleep 0.01 until File.exist?("go_on")
          "released"
        end
      RUBY
      application.serve(workers: 0, preload: false, puma: "activate_control_app 'tcp://127.0.0.1:0', no_token: true")
      # Puma accepts no more connections than it has threads for; but those that it knows already may all ask at once.
      ask = ->(socket, path) { socket.write("GET /#{path} HTTP/1.1\r\nHost: localhost\r\n\r\n") }
      holding = Array.new(6) do
        socket = TCPSocket.new("127.0.0.1", application.port)
        socket if ask.call(socket, "index") && socket.readpartial(4096)
      end
      holding.each { |socket| ask.call(socket, "release") }
      numbers = nil
      eventually(within: 60, every: 0.1) do
        numbers = counted(application).select { |name, _| name.start_with?("puma_") }.transform_values(&:values)
        expect(numbers).to include("puma_threads_busy" => [4], "puma_backlog" => [2])
      end
      expect(numbers).to include("puma_workers" => [1], "puma_threads_max" => [4], "puma_threads_running" => [4],
                                 "puma_pool_capacity" => [0], "puma_worker_boots_total" => [1])
      expect(numbers).not_to include("puma_phase")
      FileUtils.touch("#{application.directory}/go_on")
      holding.each { |socket| expect(socket.readpartial(4096)).to include("200 OK") }
    ensure
      holding&.each(&:close)
    end
  end

  it "is silent when it is switched off, and in a process that serves nobody" do
    Application.open(env: { "SWITCHED_OFF" => "puma" }) do |application|
      application.serve(workers: 1)
      expect(application.request("GET", "/metrics").body).not_to include("puma_")
    end
    Application.open do |application|
      expect(counted(application, env: { "LIBRARIES" => "puma" }).keys.grep(/puma/)).to be_empty
    end
  end

  it "is a plugin for applications without Rails" do
    Dir.mktmpdir do |directory|
      File.write("#{directory}/config.ru", <<~RUBY)
        require "tasker_telemetry"
        use TaskerTelemetry::Middleware
        run TaskerTelemetry::Endpoint
      RUBY
      File.write("#{directory}/puma.rb", <<~RUBY)
        plugin :tasker_telemetry
        workers 2
        threads 1, 3
        bind "tcp://127.0.0.1:0"
      RUBY
      log = "#{directory}/puma.log"
      # Each worker has a configuration of its own, but one service and environment.
      server = spawn({ "RUBYLIB" => File.join(RubyProcess::ROOT, "lib"), "RACK_ENV" => "production",
                       "OTEL_SERVICE_NAME" => "puma_spec_#{Process.pid}" },
                     RbConfig.ruby, "-S", "puma", "-C", "puma.rb", chdir: directory, %i[out err] => [log, "w"])
      port = eventually(within: 60) { File.read(log)[/Listening on http:\S+:(\d+)/, 1] }
      eventually(within: 60, every: 0.1) do
        numbers = puma(Net::HTTP.get(URI("http://127.0.0.1:#{port}/metrics")))
        expect(numbers).to include("puma_workers" => [2], "puma_threads_max" => [3, 3])
      end
    ensure
      Process.kill(:TERM, server) && Process.wait(server) if server
      Dir["/dev/shm/tasker_telemetry-#{Process.uid}/*puma_spec_#{Process.pid}*"].each { |file| File.delete(file) }
    end
  end
end
