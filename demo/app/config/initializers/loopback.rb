# frozen_string_literal: true

# The demo speaks plain HTTP to itself; newer Rails redirects production to HTTPS.
Rails.application.config.force_ssl = false
