# frozen_string_literal: true

require "fileutils"
require "forwardable"
require "openssl"
require "rbconfig"
require "tmpdir"

require_relative "otlp/agent"
require_relative "otlp/recording"

# A receiver of OTLP over HTTP that does on demand what collectors do on bad days, and keeps what it was sent; see
# Otlp::Connection::Behaviours.
#
#   FaultyCollector.open do |collector|
#     collector.hang                                  # or refuse, cut, cut_answer, slow(seconds: 3)
#     collector.status(code: 503, retry_after: 1)
#     collector.ok                                    # from here on it takes everything
#     collector.spans                                 # what it answered with 200, each span once
#   end
class FaultyCollector
  extend Forwardable

  SERVER = File.expand_path("otlp/server.rb", __dir__)
  BEHAVIOURS = %i[ok status slow hang cut cut_answer refuse].freeze

  attr_reader :port, :directory, :pid

  def_delegators :@recording, :requests, :accepted, :spans, :received_spans, :metrics

  # @yieldparam collector [FaultyCollector]
  def self.open(**settings)
    collector = new(**settings)
    yield collector
  ensure
    collector&.close
  end

  # @param tls [Boolean] whether it speaks TLS, by a certificate of its own
  def initialize(tls: false)
    @directory = Dir.mktmpdir("tasker_telemetry-otlp-")
    @port = Otlp::Agent.free_port
    @tls = tls
    certify if tls
    @recording = Otlp::Recording.new(@directory)
    start
  end

  # @return [String] a base URL
  def endpoint
    "#{@tls ? "https" : "http"}://127.0.0.1:#{port}"
  end

  # @return [String] the certificate that a client has to trust
  def ca_file
    File.join(@directory, "cert.pem")
  end

  BEHAVIOURS.each do |name|
    # Returns when it is so.
    define_method(name) do |**settings|
      @commands.puts(JSON.generate([name, settings]))
      said = @answers.gets.to_s.chomp
      raise "the collector says: #{said}" unless said == "so it is"
    end
  end

  # Ends its process as kill -9 does. What came until then is still known, and `start` has it listen on the same port.
  def kill
    Process.kill(:KILL, @pid)
    Process.wait(@pid)
    [@commands, @answers].each(&:close)
    @pid = nil
  end

  # Has it listen, and take everything.
  def start
    theirs_to_read, @commands = IO.pipe
    @answers, theirs_to_write = IO.pipe
    @pid = spawn(RbConfig.ruby, SERVER, @directory, @port.to_s, "--commands",
                 in: theirs_to_read, out: theirs_to_write, err: ["#{@directory}/log", "a"])
    [theirs_to_read, theirs_to_write].each(&:close)
    raise File.read("#{@directory}/log") unless @answers.gets == "listening\n"
  end

  def close
    kill if @pid
    FileUtils.remove_entry(@directory)
  end

  private

  def certify
    key = OpenSSL::PKey::EC.generate("prime256v1")
    certificate = OpenSSL::X509::Certificate.new
    certificate.version = 2
    certificate.serial = 1
    certificate.subject = certificate.issuer = OpenSSL::X509::Name.new([%w[CN localhost]])
    certificate.not_before = Time.now - 60
    certificate.not_after = Time.now + 3600
    certificate.public_key = key
    extensions = OpenSSL::X509::ExtensionFactory.new(certificate, certificate)
    { "subjectAltName" => "IP:127.0.0.1,DNS:localhost", "basicConstraints" => "critical,CA:TRUE" }
      .each { |name, value| certificate.add_extension(extensions.create_ext_from_string("#{name}=#{value}")) }
    certificate.sign(key, OpenSSL::Digest.new("SHA256"))
    File.write(ca_file, certificate.to_pem)
    File.write(File.join(@directory, "key.pem"), key.to_pem)
  end
end
