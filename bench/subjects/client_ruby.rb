# frozen_string_literal: true

require "fileutils"
require "logger"

module Bench
  module Subjects
    # prometheus/client_ruby with the store that Rails applications of several processes use.
    class ClientRuby
      VARIABLE = "CLIENT_RUBY"

      def self.title
        "client_ruby #{Prometheus::Client::VERSION}, #{self::STORE}"
      end

      def initialize(directory)
        path = ENV.fetch(VARIABLE) { raise LoadError, "#{VARIABLE} names no checkout of it" }
        $LOAD_PATH.unshift File.join(path, "lib")
        require "prometheus/client"
        require "prometheus/client/formats/text"
        require "prometheus/client/version"

        @directory = directory
        Prometheus::Client.config.data_store = store
        @registry = Prometheus::Client::Registry.new
        @orders = @registry.counter(:orders_total, docstring: "Orders", labels: %i[status queue])
      end

      def calls
        visits = @registry.counter(:visits_total, docstring: "Visits")
        depth = @registry.gauge(:queue_depth, docstring: "Jobs waiting")
        latency = @registry.histogram(:checkout_seconds, docstring: "Time to check out", labels: %i[status queue],
                                                         buckets: BUCKETS)
        { "bound counter" => [@orders.with_labels(LABELS), "it.increment"],
          "counter" => [visits, "it.increment"],
          "counter, 2 labels" => [@orders, 'it.increment(labels: { status: "paid", queue: "mail" })'],
          "counter, 2 labels, constant Hash" => [@orders, "it.increment(labels: Bench::LABELS)"],
          "gauge" => [depth, "it.set(7)"],
          "bound histogram" => [latency.with_labels(LABELS), "it.observe(0.31)"],
          "histogram, 2 labels" => [latency, 'it.observe(0.31, labels: { status: "paid", queue: "mail" })'] }
      end

      def shared_call
        calls.fetch("bound counter")
      end

      def count(status, queue)
        @orders.increment(labels: { status: status, queue: queue })
      end

      def page
        Prometheus::Client::Formats::Text.marshal(@registry)
      end
    end

    # One process only: what the others cannot see is not asked of it.
    class Synchronized < ClientRuby
      STORE = "Synchronized"

      def store
        require "prometheus/client/data_stores/synchronized"
        Prometheus::Client::DataStores::Synchronized.new
      end
    end

    # A file per metric and process.
    class DirectFileStore < ClientRuby
      STORE = "DirectFileStore"

      def store
        require "prometheus/client/data_stores/direct_file_store"
        Prometheus::Client::DataStores::DirectFileStore.new(dir: @directory)
      end

      def shared_bytes
        Dir[File.join(@directory, "*.bin")].sum { |file| File.stat(file).blocks * 512 }
      end
    end
  end
end
