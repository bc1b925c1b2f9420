# frozen_string_literal: true

require "tasker_telemetry/instrumentation/subscriber"

module TaskerTelemetry
  module Instrumentation
    # Mails that were handed over to be delivered.
    #
    # @api private
    class ActionMailer < Subscriber
      LABELS = %i[mailer action].freeze
      NONE = ""
      # Per fiber, the action whose mail is being delivered: the event tells its mailer only.
      DELIVERING = :tasker_telemetry_mail_action
      # Message to action, for as long as there is the message.
      ACTIONS = ObjectSpace::WeakMap.new
      private_constant :LABELS, :NONE, :DELIVERING, :ACTIONS

      # Notes which action made a message.
      module Noting
        def process(...)
          super.tap { ActionMailer.note(self) }
        end
      end

      # Says which action's message it is that is delivered.
      module Telling
        def deliver_mail(mail, ...)
          ActionMailer.telling(mail) { super }
        end
      end

      class << self
        def install
          new.subscribe("deliver.action_mailer")
          ::ActionMailer::Base.prepend(Noting)
          ::ActionMailer::Base.singleton_class.prepend(Telling)
        end

        # What `action_missing` stands in for may be anybody's word.
        def note(mailer)
          Instrumentation.guard(:action_mailer) do
            name = mailer.action_name.to_s
            ACTIONS[mailer.message] = -name if mailer.class.action_methods.include?(name)
          end
        end

        def telling(mail)
          before = Thread.current[DELIVERING]
          Thread.current[DELIVERING] = ACTIONS[mail]
          yield
        ensure
          Thread.current[DELIVERING] = before
        end
      end

      def initialize
        super(:action_mailer)
        @family = Family.new(
          TaskerTelemetry.counter(:mails_delivered_total, "Mails delivered", labels: LABELS),
          TaskerTelemetry.counter(:mail_failures_total, "Mails whose delivery raised", labels: LABELS),
          TaskerTelemetry.histogram(:mail_delivery_duration_seconds, "Time to deliver a mail", labels: LABELS,
                                                                                               unit: :seconds)
        )
      end

      private

      # Without `perform_deliveries` nothing is sent.
      def record(_event, payload, seconds)
        return if payload[:perform_deliveries] == false

        delivered, failed, duration = @family[payload[:mailer] || NONE, Thread.current[DELIVERING] || NONE]
        (payload.key?(:exception) ? failed : delivered).increment
        duration.observe(seconds)
      end
    end
  end
end
