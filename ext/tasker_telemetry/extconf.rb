# frozen_string_literal: true

# Writes a Makefile that hands the work to cargo. RubyGems brings a builder for Cargo of its own, but what it does
# depends on its version, and the one in Debian 12 leaves the whole build tree behind.
#
# Honoured: CARGO (the cargo to call), TASKER_TELEMETRY_CARGO_PROFILE (release), TASKER_TELEMETRY_CARGO_FEATURES (none).

require "mkmf"
require "shellwords"

places = [ENV.fetch("PATH"), File.expand_path("~/.cargo/bin")].join(File::PATH_SEPARATOR)
cargo = ENV["CARGO"] || find_executable("cargo", places)
abort <<~MESSAGE unless cargo
  tasker_telemetry has a core written in Rust and is built with cargo, which was not found on the PATH.
  Install Rust 1.85 or newer (https://rustup.rs), or set CARGO to the cargo to use.
MESSAGE

profile = ENV.fetch("TASKER_TELEMETRY_CARGO_PROFILE", "release")
features = ENV.fetch("TASKER_TELEMETRY_CARGO_FEATURES", "")
# The folder that cargo builds a profile in bears the profile's name, with this exception.
folder = profile == "dev" ? "debug" : profile

word = ->(text) { text.shellescape.gsub("$", "$$") }

# `install` takes the build tree away: it is a hundred times the size of what it made, and RubyGems would keep it.
File.write("Makefile", <<~MAKEFILE)
  CARGO = #{word[cargo]}
  DLLIB = tasker_telemetry.#{RbConfig::CONFIG["DLEXT"]}
  DESTDIR =
  sitearchdir = #{word[RbConfig::CONFIG["sitearchdir"]]}

  .PHONY: all install clean distclean

  all:
  \t+RUBY=#{word[RbConfig.ruby]} $(CARGO) build --locked --profile #{word[profile]} --features #{word[features]} \\
  \t  --manifest-path #{word[File.join(__dir__, "Cargo.toml")]} --target-dir target
  \tcp target/#{word[folder]}/libtasker_telemetry.#{RbConfig::CONFIG["SOEXT"]} $(DLLIB)

  install: all
  \tmkdir -p "$(DESTDIR)$(sitearchdir)/tasker_telemetry"
  \tcp $(DLLIB) "$(DESTDIR)$(sitearchdir)/tasker_telemetry/$(DLLIB)"
  \trm -rf target $(DLLIB)

  clean distclean:
  \trm -rf target $(DLLIB)
MAKEFILE
