//! What can go wrong between here and a CA, sorted by what is done about it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub class: Class,
    /// For people: what happened, where; printable. Never holds a key, a token or another secret.
    pub detail: String,
    /// What the CA asked to wait.
    pub retry_after: Option<Duration>,
    /// The names that it is about, if the CA said so.
    pub names: Vec<String>,
}

/// What is done about a failure; also a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No answer, or none that makes sense: the network, TLS, a timeout, garbage.
    Transport,
    /// The CA is at fault, and says so: 5xx.
    Server,
    /// 429, or 503 with Retry-After: it was asked too often.
    RateLimited,
    /// The CA tried to see that a name is ours, and couldn't.
    Validation,
    /// Every nonce was refused.
    BadNonce,
    /// The CA doesn't know the account.
    NoAccount,
    /// The order named a certificate to replace, and the CA refused that.
    Replaces,
    /// The CA's policy, or ours: trying again won't help before somebody changes something.
    Policy,
    /// What a CA needn't be asked for: a store that is full, a key that can't be made.
    Local,
}

impl Class {
    pub const ALL: &[Class] = &[
        Class::Transport,
        Class::Server,
        Class::RateLimited,
        Class::Validation,
        Class::BadNonce,
        Class::NoAccount,
        Class::Replaces,
        Class::Policy,
        Class::Local,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Class::Transport => "transport",
            Class::Server => "server",
            Class::RateLimited => "rate_limited",
            Class::Validation => "validation",
            Class::BadNonce => "bad_nonce",
            Class::NoAccount => "no_account",
            Class::Replaces => "replaces",
            Class::Policy => "policy",
            Class::Local => "local",
        }
    }

    /// Whether it is the CA that fails, whoever asks: then nobody needs to ask it for a while.
    pub fn concerns_the_whole_ca(self) -> bool {
        matches!(self, Class::Transport | Class::Server)
    }
}

impl Failure {
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Self { class, detail: printable(&detail.into()), retry_after: None, names: Vec::new() }
    }

    pub fn local(detail: impl fmt::Display) -> Self {
        Self::new(Class::Local, detail.to_string())
    }

    pub fn transport(detail: impl fmt::Display) -> Self {
        Self::new(Class::Transport, detail.to_string())
    }

    /// Says what was being done when it failed.
    #[must_use]
    pub fn while_doing(mut self, what: &str) -> Self {
        self.detail = printable(&format!("{what}: {}", self.detail));
        self
    }
}

/// Somebody else's words, as far as they can be shown on a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_cant_write_to_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a [31mb c");
        assert_eq!(printable(&"x".repeat(1000)).len(), 500);
        let failure = Failure::new(Class::Policy, "\u{1b}[2J").while_doing("\u{7}");
        assert_eq!(failure.detail, " :  [2J");
    }
}
