//! The places in a store.

use std::fmt;

/// A value's place: a directory and a name, of plain characters only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// An account, by what [`crate::acme::account`] calls its CA.
    pub fn account(ca: &str) -> Self {
        Self(format!("accounts/{}.json", plain(ca)))
    }

    /// Key and chain, in one file.
    pub fn bundle(id: &str) -> Self {
        Self(format!("certs/{}/bundle.pem", plain(id)))
    }

    /// The bundle before, for when the last is damaged.
    pub fn previous(id: &str) -> Self {
        Self(format!("certs/{}/previous.pem", plain(id)))
    }

    pub fn state(id: &str) -> Self {
        Self(format!("state/{}.json", plain(id)))
    }

    pub fn order(id: &str) -> Self {
        Self(format!("orders/{}.json", plain(id)))
    }

    pub fn http01(token: &str) -> Self {
        Self(format!("challenges/http-01/{}", plain(token)))
    }

    pub fn tls_alpn01(host: &str) -> Self {
        Self(format!("challenges/tls-alpn-01/{}", plain(host)))
    }

    /// Changes with every certificate, so that instances see it without looking at each.
    pub fn mark() -> Self {
        Self("changed".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that a file name can have without a meaning of their own. Whatever comes here was checked before; this is
/// the last door.
fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().map(keep).collect();
    match name.starts_with('.') || name.is_empty() {
        true => format!("_{name}"),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_directory() {
        assert_eq!(Key::http01("../../etc/passwd").as_str(), "challenges/http-01/_.._.._etc_passwd");
        assert_eq!(Key::bundle("..").as_str(), "certs/_../bundle.pem");
        assert_eq!(Key::tls_alpn01("a.b").as_str(), "challenges/tls-alpn-01/a.b");
    }
}
