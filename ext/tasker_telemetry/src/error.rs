use crate::helpers::jump::Jump;
use magnus::{error::IntoError, ExceptionClass, Module, RModule, Ruby};
use std::borrow::Cow;
use std::fmt::Display;
use tasker_telemetry_core::export::transports::otlp;
use tasker_telemetry_core::{arena, event, metric};

/// Result of what a native method does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that leaves the bridge as a Ruby exception.
pub enum Error {
    /// A setting that cannot be used.
    Configuration(arena::Error),
    /// A mapping or an event that cannot be.
    Event(event::Error),
    /// A destination, or a variable of OpenTelemetry's, that cannot be used.
    Otlp(otlp::Error),
    /// A metric that cannot be declared.
    Declaration(metric::Error),
    /// An argument that no metric can be declared with.
    Undeclarable(String),
    /// An argument of the wrong type or value.
    Argument(String),
    /// The native side failed in a way that is no mistake of the caller's.
    Native(Cow<'static, str>),
    /// An exception of Ruby's own.
    Ruby(magnus::Error),
    /// An exception, a throw or a kill that is passing through.
    Jump(Jump),
}

impl From<arena::Error> for Error {
    fn from(error: arena::Error) -> Self {
        Self::Configuration(error)
    }
}

impl From<event::Error> for Error {
    fn from(error: event::Error) -> Self {
        Self::Event(error)
    }
}

impl From<otlp::Error> for Error {
    fn from(error: otlp::Error) -> Self {
        Self::Otlp(error)
    }
}

impl From<metric::Error> for Error {
    fn from(error: metric::Error) -> Self {
        Self::Declaration(error)
    }
}

impl From<magnus::Error> for Error {
    fn from(error: magnus::Error) -> Self {
        Self::Ruby(error)
    }
}

impl From<Jump> for Error {
    fn from(jump: Jump) -> Self {
        Self::Jump(jump)
    }
}

impl IntoError for Error {
    fn into_error(self, ruby: &Ruby) -> magnus::Error {
        match self {
            Self::Configuration(error) => own(ruby, "ConfigurationError", &error),
            Self::Event(error) => own(ruby, "ConfigurationError", &error),
            Self::Otlp(error) => own(ruby, "ConfigurationError", &error),
            Self::Declaration(error) => own(ruby, "DeclarationError", &error),
            Self::Undeclarable(message) => own(ruby, "DeclarationError", &message),
            Self::Native(message) => own(ruby, "NativeError", &message),
            Self::Argument(message) => magnus::Error::new(ruby.exception_arg_error(), message),
            Self::Ruby(error) => error,
            Self::Jump(jump) => jump.into_error(),
        }
    }
}

/// An exception of one of the classes that lib/tasker_telemetry/errors.rb declares.
fn own(ruby: &Ruby, class: &str, message: &dyn Display) -> magnus::Error {
    let found = ruby
        .class_object()
        .const_get::<_, RModule>("TaskerTelemetry")
        .and_then(|module| module.const_get::<_, ExceptionClass>(class));
    match found {
        Ok(class) => magnus::Error::new(class, message.to_string()),
        Err(error) => error,
    }
}
