# frozen_string_literal: true

module TaskerTelemetry
  module RSpec
    # What the matchers have in common: they compare a reading before the block with one after it.
    #
    # @api private
    class ChangeMatcher
      include ::RSpec::Matchers::Composable

      def initialize(metric)
        @name = (metric.respond_to?(:name) ? metric.name : metric).to_s
        @labels = {}
      end

      # Only the series that bear these labels.
      def with(**labels)
        @labels = labels.transform_values(&:to_s)
        self
      end

      def matches?(block)
        @before = reading
        block.call
        @after = reading
        insist_on_series
        changed?
      end

      def supports_block_expectations?
        true
      end

      def supports_value_expectations?
        false
      end

      def failure_message
        "expected the block to #{description}, but #{outcome}"
      end

      def failure_message_when_negated
        "expected the block not to #{description}, but #{outcome}"
      end

      def description
        labels = " with #{@labels.map { |name, value| "#{name}: #{value.inspect}" }.join(", ")}" unless @labels.empty?
        "#{verb} #{@name}#{amount}#{labels}"
      end

      private

      # Only after the block, which may be what declares the metric. A spec that passes for want of a metric, or of a
      # label, shows nothing.
      def insist_on_series
        metric = MetricsBackend.instance.find(@name)
        raise ArgumentError, "no metric named #{@name} is declared" unless metric

        known = [*metric.label_names, *TaskerTelemetry.config.metrics.default_labels.keys.map(&:to_sym), :process]
        unknown = @labels.keys - known
        return if unknown.empty?

        raise ArgumentError, "#{@name} has no label #{listed(unknown)}; it has #{listed(known)}"
      end

      def listed(names)
        names.map(&:inspect).join(", ")
      end

      def series
        found = TaskerTelemetry.snapshot.select { |series| series.name == exported_name }
        wrong = found.find { |series| !kinds.include?(series.kind) }
        raise ArgumentError, "#{@name} is a #{wrong.kind}, and cannot be seen to #{verb}" if wrong

        found.select { |series| @labels.all? { |name, value| series.labels[name] == value } }
      end

      def exported_name
        @exported_name ||= [TaskerTelemetry.config.metrics.prefix, @name].compact.join("_")
      end
    end

    # @api private
    class IncrementMatcher < ChangeMatcher
      def by(amount)
        @by = amount
        self
      end

      private

      def kinds
        %i[counter gauge]
      end

      def verb
        "increment"
      end

      def amount
        " by #{@by}" if @by
      end

      def reading
        series.sum(&:value)
      end

      def changed?
        difference = @after - @before
        @by ? values_match?(@by, difference) : difference.positive?
      end

      def outcome
        "it went from #{@before} to #{@after}"
      end
    end

    # @api private
    class ObserveMatcher < ChangeMatcher
      def times(count)
        @times = count
        self
      end

      private

      def kinds
        %i[histogram]
      end

      def verb
        "observe"
      end

      def amount
        " #{@times} times" if @times
      end

      def reading
        series.sum { |series| series.value[:count] }
      end

      def changed?
        @times ? values_match?(@times, @after - @before) : @after > @before
      end

      def outcome
        "it observed #{@after - @before} values"
      end
    end

    # @api private
    class SetMatcher < ChangeMatcher
      def to(value)
        @to = value
        self
      end

      private

      def kinds
        %i[gauge]
      end

      def verb
        "set"
      end

      def amount
        " to #{@to.inspect}" if defined?(@to)
      end

      def reading
        series.to_h { |series| [series.labels, series.value] }
      end

      def changed?
        return @after != @before unless defined?(@to)

        @after.any? { |_, value| values_match?(@to, value) }
      end

      def outcome
        return "there is no such series" if @after.empty?

        "the value is #{@after.values.join(", ")}"
      end
    end
  end
end
