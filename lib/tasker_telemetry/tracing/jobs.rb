# frozen_string_literal: true

require "tasker_telemetry/tracing"

module TaskerTelemetry
  module Tracing
    # Spans of ActiveJob: one where a job is enqueued, one for each run, in one trace. The trace travels in the job's
    # own data.
    #
    # @api private
    module Jobs
      # What the job itself remembers.
      module Carrying
        # The job's data, with the trace that it is enqueued in.
        def serialize
          super.merge(Tracing.headers)
        end

        def deserialize(job_data)
          super
          @tasker_telemetry_trace = Tracing.carried(job_data)
        end

        # @return [Array, nil] the trace that it was enqueued in
        attr_reader :tasker_telemetry_trace

        # @return [Array, nil] the place of its last run, where it belongs if it is enqueued again after that has failed
        attr_accessor :tasker_telemetry_run
      end

      # Takes the events of jobs in from ActiveSupport::Notifications.
      class Spans
        def initialize(kind, operation)
          @kind = kind
          @operation = operation
        end

        def start(_name, id, payload)
          return unless Native.traces?

          job = payload[:job]
          attributes = { "messaging.system" => "active_job", "messaging.destination.name" => job.queue_name.to_s,
                         "messaging.message.id" => job.job_id, "code.namespace" => job.class.name }
          span = Tracing.start("#{job.class.name} #{@operation}", attributes, @kind, around(job))
          open.push([id, payload, span])
          job.tasker_telemetry_run = Tracing.carried(Tracing.headers) if @kind == :consumer
        rescue StandardError => e
          Log.limited(%i[tracing jobs]) { "a job's span could not begin: #{Failure.describe(e)}" }
        end

        def finish(_name, _id, payload)
          index = open.rindex { |_, owner,| owner.equal?(payload) } or return
          # One whose end was never told goes with the one around it.
          _, _, span = open.slice!(index..).first
          error = payload[:exception_object]
          span.record_exception(error) if error
          span["tasker_telemetry.job.aborted"] = true if payload[:aborted]
          span.finish
        end

        private

        # @return [Array, nil] nil for what is open here
        def around(job)
          return job.tasker_telemetry_trace if @kind == :consumer

          job.tasker_telemetry_run unless Native.tracing?
        end

        # Per fiber, since runs nest.
        def open
          Thread.current[:tasker_telemetry_job_spans] ||= []
        end
      end

      EVENTS = { "enqueue.active_job" => %i[producer publish], "enqueue_at.active_job" => %i[producer publish],
                 "perform.active_job" => %i[consumer process] }.freeze
      private_constant :EVENTS

      # Does nothing the second time.
      #
      # @param base [Class] ActiveJob::Base
      def self.install(base)
        return if base < Carrying

        base.prepend(Carrying)
        EVENTS.each { |event, how| ActiveSupport::Notifications.subscribe(event, Spans.new(*how)) }
      end
    end
  end
end
