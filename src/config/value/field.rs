//! Header field names and values, content types: RFC 9110 5.1, 5.5 and 8.3.

use serde_json::{Value as Json, json};

use super::{Complaint, Text, string_schema};
use crate::config::diagnostic::quote;

/// A field name as written: a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldName(pub(crate) String);

/// The name of a field that a rule may change: none that frames the message or belongs to one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleFieldName(pub(crate) String);

/// A field value: no control bytes, no blanks at its ends, ASCII or UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldValue(pub(crate) String);

/// A media type: `type/subtype`, perhaps with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentType(pub(crate) String);

impl Text for FieldName {
    const DEFINITION: Option<&'static str> = Some("FieldName");
    const EXPECTED: &'static str = "a header name";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(is_token) {
            return Err(Complaint::is_not(text, "a header name").help("a name has letters, digits and `-`"));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        json!({
            "type": "string",
            "description": "The name of a header field, in any case.",
            "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
            "examples": ["X-Frame-Options"],
        })
    }
}

impl Text for RuleFieldName {
    const DEFINITION: Option<&'static str> = FieldName::DEFINITION;
    const EXPECTED: &'static str = FieldName::EXPECTED;

    fn parse(text: &str) -> Result<Self, Complaint> {
        let FieldName(name) = FieldName::parse(text)?;
        let lower = name.to_ascii_lowercase();
        let refused = |why: &str| Err(Complaint::new(format!("a rule can't change {}", quote(&name))).label(why));
        match lower.as_str() {
            "host" => Err(Complaint::new(format!("a rule can't change {}", quote(&name)))
                .label("Tidegate sends it itself")
                .help("write `host = …` at the upstream: \"request\", \"endpoint\" or a name")),
            "content-length" | "transfer-encoding" | "trailer" => refused("it frames the body"),
            _ if HOP_BY_HOP.contains(&lower.as_str()) => refused("it belongs to one connection"),
            _ => Ok(Self(name)),
        }
    }

    fn json() -> Json {
        FieldName::json()
    }
}

impl Text for FieldValue {
    const DEFINITION: Option<&'static str> = Some("FieldValue");
    const EXPECTED: &'static str = "a header value";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            let complaint = Complaint::new("a header value can't hold control characters");
            return Err(complaint.help("write it in one line"));
        }
        if text.trim_matches([' ', '\t']) != text {
            return Err(Complaint::new("a header value can't begin or end with a blank").help("remove it"));
        }
        if text.len() > MAX_VALUE {
            return Err(Complaint::new("this header value is too long").label(format!("at most {MAX_VALUE} bytes")));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        string_schema("The value of a header field: one line, sent as written.", &["nosniff"])
    }
}

impl Text for ContentType {
    const DEFINITION: Option<&'static str> = Some("ContentType");
    const EXPECTED: &'static str = "a content type";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let media = text.split(';').next().unwrap_or_default().trim_end();
        let token = |t: &str| !t.is_empty() && t.bytes().all(is_token);
        let valid = media.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
        if !valid || !text.is_ascii() || FieldValue::parse(text).is_err() {
            return Err(Complaint::is_not(text, "a content type").help("write it like \"text/html; charset=utf-8\""));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        string_schema("A media type, perhaps with parameters.", &["text/html; charset=utf-8", "application/json"])
    }
}

/// RFC 9110 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 7.6.1, and what HTTP/1 connections negotiate with. Proxies take them out, whatever a rule says.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
];

const MAX_NAME: usize = 256;

/// Half of what most servers take as a whole head.
const MAX_VALUE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn a_rule_may_not_touch_framing_or_the_connection() {
        assert_parses(
            |n: RuleFieldName| n.0,
            &[("X-Frame-Options", "X-Frame-Options".to_owned())],
            &[
                ("Host", "a rule can't change \"Host\""),
                ("content-length", "a rule can't change \"content-length\""),
                ("Transfer-Encoding", "a rule can't change \"Transfer-Encoding\""),
                ("Connection", "a rule can't change \"Connection\""),
                ("TE", "a rule can't change \"TE\""),
                ("X Frame", "\"X Frame\" is not a header name"),
                ("", "\"\" is not a header name"),
                ("X:", "\"X:\" is not a header name"),
            ],
        );
    }

    #[test]
    fn a_field_value_is_one_clean_line() {
        assert_parses(
            |v: FieldValue| v.0,
            &[("default-src 'self'", "default-src 'self'".to_owned()), ("", String::new())],
            &[
                ("a\r\nX: b", "a header value can't hold control characters"),
                ("a\0", "a header value can't hold control characters"),
                (" a", "a header value can't begin or end with a blank"),
            ],
        );
    }

    #[test]
    fn a_content_type_is_a_media_type() {
        assert_parses(
            |c: ContentType| c.0,
            &[("text/html; charset=utf-8", "text/html; charset=utf-8".to_owned())],
            &[
                ("html", "\"html\" is not a content type"),
                ("/", "\"/\" is not a content type"),
                ("text/ä", "\"text/ä\" is not a content type"),
                ("text/html\n", "\"text/html\\n\" is not a content type"),
            ],
        );
    }
}
