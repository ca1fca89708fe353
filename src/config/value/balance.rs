//! What balancing goes by: hash keys, factors, cookies and their secrets.

use std::fmt;

use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use super::choice::unknown;
use super::field::is_token;
use super::{Complaint, FieldName, Text, string_schema};
use crate::config::diagnostic::quote;
use crate::config::model::HashKey;

/// A factor from 1 to 100: `1.25`. Quotes are allowed, so that a variable can give it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Factor(pub(crate) f64);

/// A cookie's name: a token (RFC 6265 4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CookieName(pub(crate) String);

/// A secret in the file. No complaint quotes it, and it leaves no trace in memory.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretText(pub(crate) Zeroizing<String>);

/// The name of one process among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceName(pub(crate) String);

impl Text for HashKey {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "\"client_ip\", \"path\", \"uri\", \"header:NAME\" or \"cookie:NAME\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if let Some(name) = text.strip_prefix("header:") {
            return FieldName::parse(name).map(|name| HashKey::Header(name.0.to_ascii_lowercase()));
        }
        if let Some(name) = text.strip_prefix("cookie:") {
            return CookieName::parse(name).map(|name| HashKey::Cookie(name.0));
        }
        match text {
            "client_ip" => Ok(HashKey::ClientIp),
            "path" => Ok(HashKey::Path),
            "uri" => Ok(HashKey::Uri),
            _ => Err(match nginx_variable(text) {
                Some(key) => unknown(text, WHAT, KEYS).help(format!("nginx's {text} is \"{key}\" here")),
                None => unknown(text, WHAT, KEYS),
            }),
        }
    }

    fn json() -> Json {
        json!({ "anyOf": [
            { "enum": ["client_ip", "path", "uri"] },
            { "type": "string", "pattern": "^(header|cookie):.+", "examples": ["header:x-tenant", "cookie:session"] },
        ] })
    }
}

/// The key that is an nginx variable's.
fn nginx_variable(text: &str) -> Option<String> {
    match text {
        "$remote_addr" | "$binary_remote_addr" => Some("client_ip".to_owned()),
        "$uri" | "$document_uri" => Some("path".to_owned()),
        "$request_uri" => Some("uri".to_owned()),
        _ => match (text.strip_prefix("$http_"), text.strip_prefix("$cookie_")) {
            (Some(name), _) => Some(format!("header:{}", name.replace('_', "-"))),
            (_, Some(name)) => Some(format!("cookie:{name}")),
            _ => None,
        },
    }
}

impl Text for Factor {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a factor such as 1.25";
    const BARE_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Complaint> {
        let factor: f64 = text.parse().map_err(|_| Complaint::is_not(text, "a factor").help("write it like 1.25"))?;
        if !(1.0..=100.0).contains(&factor) {
            let complaint = Complaint::new(format!("{text} is no factor of the average")).label("1 to 100");
            return Err(match factor > 100.0 {
                true => complaint.help("HAProxy's 125 is 1.25 here"),
                false => complaint.help("with less than the average, some requests would find no endpoint"),
            });
        }
        Ok(Self(factor))
    }

    fn json() -> Json {
        json!({ "anyOf": [
            { "type": "number", "minimum": 1, "maximum": 100 },
            { "type": "string", "pattern": r"\$\{" },
        ] })
    }
}

impl Text for CookieName {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a cookie's name";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text.is_empty() || text.len() > 64 || !text.bytes().all(is_token) {
            return Err(Complaint::is_not(text, "a cookie's name").label("letters, digits, `_` and `-`; at most 64"));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        string_schema("A cookie's name.", &["route", "__Host-route"])
    }
}

impl Text for SecretText {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a secret";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match text.len() < MIN_SECRET {
            true => Err(Complaint::new("the secret is too short")
                .label(format!("at least {MIN_SECRET} bytes"))
                .help("make one with `openssl rand -hex 32`")),
            false => Ok(Self(Zeroizing::new(text.to_owned()))),
        }
    }

    fn json() -> Json {
        json!({
            "type": "string",
            "description": "At least 16 bytes.",
            "examples": ["${STICKY_SECRET}"],
            "writeOnly": true,
        })
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl Text for InstanceName {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a name";
    const BARE_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text.is_empty() || text.len() > 255 {
            return Err(Complaint::new(format!("{} tells no instance from another", quote(text)))
                .label("1 to 255 bytes")
                .help("write \"${HOSTNAME}\", or leave it out for the host's name"));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        string_schema("A name, or a number.", &["${HOSTNAME}", "tidegate-3"])
    }
}

/// A secret shorter than this can be guessed.
pub(crate) const MIN_SECRET: usize = 16;

const WHAT: &str = "a key to hash";

const KEYS: &[&str] = &["client_ip", "path", "uri", "header:NAME", "cookie:NAME"];

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn a_hash_goes_by_address_target_header_or_cookie() {
        assert_parses(
            |k: HashKey| k,
            &[
                ("client_ip", HashKey::ClientIp),
                ("uri", HashKey::Uri),
                ("header:X-Tenant", HashKey::Header("x-tenant".to_owned())),
                ("cookie:SID", HashKey::Cookie("SID".to_owned())),
            ],
            &[
                ("clientip", "\"clientip\" is not a key to hash"),
                ("header:", "\"\" is not a header name"),
                ("cookie:a b", "\"a b\" is not a cookie's name"),
            ],
        );
        let help = |text| HashKey::parse(text).unwrap_err().help;
        assert_eq!(help("clientip").as_deref(), Some("did you mean \"client_ip\"?"));
        assert_eq!(help("$http_x_tenant").as_deref(), Some("nginx's $http_x_tenant is \"header:x-tenant\" here"));
    }

    #[test]
    fn a_factor_is_no_less_than_the_average() {
        assert_parses(
            |f: Factor| f.0,
            &[("1.25", 1.25), ("1", 1.0), ("2", 2.0)],
            &[
                ("0.9", "0.9 is no factor of the average"),
                ("125", "125 is no factor of the average"),
                ("nan", "nan is no factor of the average"),
                ("much", "\"much\" is not a factor"),
            ],
        );
    }

    #[test]
    fn a_secret_is_long_and_never_printed() {
        let secret = SecretText::parse("0123456789abcdef").unwrap();
        assert!(!format!("{secret:?}").contains("0123"));
        let complaint = format!("{:?}", SecretText::parse("hunter2").unwrap_err());
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
}
