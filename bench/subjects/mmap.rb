# frozen_string_literal: true

module Bench
  module Subjects
    # prometheus-client-mmap: the multi-process fork of client_ruby with files mapped by a native extension.
    class Mmap
      def self.title
        "prometheus-client-mmap #{Prometheus::Client::VERSION}"
      end

      def initialize(directory)
        require "prometheus/client"
        require "prometheus/client/formats/text"
        require "prometheus/client/version"
        unless Prometheus::Client.respond_to?(:configuration)
          raise LoadError, "another gem answers to prometheus/client here"
        end

        @directory = directory
        Prometheus::Client.configure do |config|
          config.multiprocess_files_dir = directory
          config.logger = Logger.new($stderr)
        end
        @registry = Prometheus::Client::Registry.new
        @orders = @registry.counter(:orders_total, "Orders")
      end

      def calls
        visits = @registry.counter(:visits_total, "Visits")
        depth = @registry.gauge(:queue_depth, "Jobs waiting")
        latency = @registry.histogram(:checkout_seconds, "Time to check out", {}, BUCKETS)
        { "counter" => [visits, "it.increment"],
          "counter, 2 labels" => [@orders, 'it.increment({ status: "paid", queue: "mail" })'],
          "counter, 2 labels, constant Hash" => [@orders, "it.increment(Bench::LABELS)"],
          "gauge" => [depth, "it.set({}, 7)"],
          "histogram, 2 labels" => [latency, 'it.observe({ status: "paid", queue: "mail" }, 0.31)'] }
      end

      def shared_call
        calls.fetch("counter, 2 labels, constant Hash")
      end

      def count(status, queue)
        @orders.increment({ status: status, queue: queue })
      end

      def page
        Prometheus::Client::Formats::Text.marshal_multiprocess(@directory)
      end

      def shared_bytes
        Dir[File.join(@directory, "*.db")].sum { |file| File.stat(file).blocks * 512 }
      end
    end
  end
end
