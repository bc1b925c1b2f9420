# frozen_string_literal: true

require "tasker_telemetry/version"
require "tasker_telemetry/errors"
require "tasker_telemetry/native"
