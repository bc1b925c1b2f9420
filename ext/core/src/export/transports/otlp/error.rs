//! What is wrong with settings.

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting has a value that is not accepted.
    #[error("{option} cannot be {value:?}; accepted: {accepted}")]
    Setting {
        /// The option of the configuration, or the environment variable.
        option: String,
        /// Its value.
        value: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// A header is not one. Its value is not shown, since it is mostly a secret.
    #[error("{option} has {} that cannot be sent; accepted: {accepted}", header(.name.as_deref()))]
    Header {
        /// The option of the configuration, or the environment variable.
        option: String,
        /// Its name, where it is one.
        name: Option<String>,
        /// What is accepted.
        accepted: &'static str,
    },
    /// Certificates that cannot be used.
    #[error("{option}: {problem}")]
    Certificate {
        /// Which certificates.
        option: String,
        /// What is wrong with them.
        problem: String,
    },
}

fn header(name: Option<&str>) -> String {
    name.map_or_else(|| "a header".to_owned(), |name| format!("a header ({name:?})"))
}

/// Result of settings.
pub type Result<T> = std::result::Result<T, Error>;
