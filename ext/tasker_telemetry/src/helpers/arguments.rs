use crate::error::{Error, Result};
use magnus::{RHash, Value};

/// What a method was called with.
pub struct Arguments<'a> {
    /// Without the keywords.
    pub positional: &'a [Value],
    /// Ruby makes this Hash for the call, so nobody else holds it.
    pub keywords: Option<RHash>,
}

impl Arguments<'_> {
    /// For methods that take keywords only.
    pub fn expect_keywords(&self) -> Result<()> {
        match self.positional.len() {
            0 => Ok(()),
            given => Err(Error::Argument(format!(
                "wrong number of arguments (given {given}, expected 0)"
            ))),
        }
    }

    /// For methods without parameters.
    pub fn expect_nothing(&self) -> Result<()> {
        match self.keywords {
            None => self.expect_keywords(),
            Some(_) => Err(Error::Argument("no keywords accepted".into())),
        }
    }
}
