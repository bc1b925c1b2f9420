# frozen_string_literal: true

require Rails.root.join("lib/access_log")

Rails.application.config.middleware.insert_before 0, AccessLog, Rails.root.join("log/access.log")
