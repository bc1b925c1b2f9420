# frozen_string_literal: true

Rails.application.routes.draw do
  resources :audits, only: %i[index create]
  # Names of packages hold dots and plus signs.
  get "audits/:package", to: "audits#show", constraints: { package: /[a-z0-9][a-z0-9.+-]*/ }, format: false
  get "reports/:name", to: "reports#show"
end
