//! Strings with a small grammar: names, methods, targets, files.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::field::is_token;
use super::{Complaint, Text, string_schema};
use crate::config::diagnostic::quote;
use crate::config::model::LimitKey;

/// The name of an upstream, a limit, a site or a route: short and plain, since it becomes a metric label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

/// A user or group of the machine: its name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountName(pub(crate) String);

/// Text of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) String);

/// A file, relative to the directory of the file that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePath(pub(crate) PathBuf);

/// Files to include: a path whose last part may hold `*` and `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) String);

/// A request method, upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodName(pub(crate) String);

/// A status of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RedirectStatus(pub(crate) u16);

/// Where a redirect leads, with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedirectTarget(pub(crate) String);

impl Text for Name {
    const DEFINITION: Option<&'static str> = Some("Name");
    const EXPECTED: &'static str = "a name";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
            return Err(Complaint::is_not(text, "a name").label("letters, digits, `_`, `.` and `-`; at most 64"));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        json!({
            "type": "string",
            "description": "Letters, digits, `_`, `.` and `-`; at most 64.",
            "pattern": "^[A-Za-z0-9_.-]{1,64}$",
        })
    }
}

impl Text for AccountName {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a user's or group's name or number";
    const BARE_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Complaint> {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ':' | '/' | ',');
        if text.is_empty() || text.len() > 256 || text.starts_with('-') || !text.chars().all(plain) {
            return Err(Complaint::is_not(text, "the name of a user or group"));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        json!({
            "type": ["string", "integer"],
            "description": "A name or number that the machine knows.",
            "examples": ["tidegate", "65532"],
        })
    }
}

impl Text for Words {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a string";

    fn parse(text: &str) -> Result<Self, Complaint> {
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        json!({ "type": "string" })
    }
}

impl Text for FilePath {
    const DEFINITION: Option<&'static str> = Some("File");
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text.is_empty() || text.contains('\0') {
            return Err(Complaint::is_not(text, "a path"));
        }
        Ok(Self(PathBuf::from(text)))
    }

    fn json() -> Json {
        string_schema(
            "A path. A relative one starts at the directory of the configuration file that it stands in.",
            &["tls/example.pem", "/etc/tidegate/pages/502.html"],
        )
    }
}

impl Text for Pattern {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a path or pattern such as \"conf.d/*.toml\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let directory = text.rsplit_once('/').map_or("", |(directory, _)| directory);
        if text.is_empty() || text.ends_with('/') || text.contains('\0') {
            return Err(Complaint::is_not(text, "a path of files").help("write it like \"conf.d/*.toml\""));
        }
        if directory.contains(['*', '?']) {
            return Err(Complaint::new(format!("{} has a wildcard in a directory", quote(text)))
                .help("only the file name may have `*` and `?`"));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        string_schema("A path whose last part may hold `*` and `?`.", &["conf.d/*.toml"])
    }
}

impl Text for MethodName {
    const DEFINITION: Option<&'static str> = Some("Method");
    const EXPECTED: &'static str = "a method such as \"GET\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text.is_empty() || text.len() > 32 || !text.bytes().all(is_token) {
            return Err(Complaint::is_not(text, "a method"));
        }
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(Complaint::new(format!("{} can never match", quote(text)))
                .label("methods are upper case")
                .help(format!("write \"{}\"", text.to_ascii_uppercase())));
        }
        if matches!(text, "CONNECT" | "TRACE") {
            return Err(Complaint::new(format!("{text} can never match")).label("it is refused before routing"));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        string_schema("A request method, upper case.", &["GET", "POST"])
    }
}

impl Text for RedirectStatus {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a status such as 301";
    const BARE_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Complaint> {
        match text {
            "301" => Ok(Self(301)),
            "302" => Ok(Self(302)),
            "303" => Ok(Self(303)),
            "307" => Ok(Self(307)),
            "308" => Ok(Self(308)),
            _ => Err(Complaint::new(format!("{} is not the status of a redirect", quote(text)))
                .label("301, 302, 303, 307 or 308")
                .help("301 and 308 are permanent; 307 and 308 keep the method")),
        }
    }

    fn json() -> Json {
        json!({ "enum": [301, 302, 303, 307, 308] })
    }
}

impl Text for RedirectTarget {
    const DEFINITION: Option<&'static str> = Some("RedirectTarget");
    const EXPECTED: &'static str = "a URL such as \"https://{host}{uri}\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if !text.is_ascii() || text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(Complaint::is_not(text, "a URL").label("plain ASCII without blanks"));
        }
        if text.contains("$host") || text.contains("$request_uri") || text.contains("$scheme") {
            return Err(Complaint::new("nginx's variables are written otherwise here")
                .help("$scheme is {scheme}, $host {host}, $request_uri {uri}, $uri {path}, $args {query}"));
        }
        check_places(text)?;
        let absolute = ["http://", "https://", "{scheme}://"].iter().any(|s| text.starts_with(s));
        if !absolute && !text.starts_with('/') && !text.starts_with("{uri}") && !text.starts_with("{path}") {
            return Err(Complaint::is_not(text, "a URL").help("begin it with \"https://\", \"http://\" or \"/\""));
        }
        Ok(Self(text.to_owned()))
    }

    fn json() -> Json {
        string_schema(
            "A URL, or a path on the same host. `{scheme}`, `{host}`, `{uri}` (raw path and query), `{path}` and \
             `{query}` are those of the request.",
            &["https://www.example.com{uri}", "/new/place"],
        )
    }
}

impl Text for LimitKey {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "\"client_ip\", \"site\" or \"header:NAME\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let wrong = |help: &str| {
            Complaint::is_not(text, "a key to count by").label("known are: client_ip, site, header:NAME").help(help)
        };
        match text {
            "client_ip" => Ok(LimitKey::ClientIp),
            "site" => Ok(LimitKey::Site),
            "$binary_remote_addr" | "$remote_addr" => Err(wrong("write \"client_ip\" for the client's address")),
            "$server_name" => Err(wrong("write \"site\" for one count a site")),
            _ => match text.strip_prefix("header:").map(super::FieldName::parse) {
                Some(Ok(name)) => Ok(LimitKey::Header(name.0.to_ascii_lowercase())),
                Some(Err(complaint)) => Err(complaint),
                None => Err(wrong("write \"header:x-api-key\" to count by a request header")),
            },
        }
    }

    fn json() -> Json {
        json!({ "anyOf": [
            { "enum": ["client_ip", "site"] },
            { "type": "string", "pattern": "^header:.+", "examples": ["header:x-api-key"] },
        ] })
    }
}

/// Every `{` is closed, and holds a place that a redirect can fill in.
fn check_places(text: &str) -> Result<(), Complaint> {
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let Some(end) = rest[at..].find('}') else {
            return Err(Complaint::new(format!("a `{{` in {} is not closed", quote(text))));
        };
        if !REDIRECT_PLACES.contains(&&rest[at + 1..at + end]) {
            let place = quote(&rest[at..=at + end]);
            return Err(Complaint::new(format!("{place} names nothing that could be filled in"))
                .label(format!("known are: {}", REDIRECT_PLACES.join(", "))));
        }
        rest = &rest[at + end + 1..];
    }
    Ok(())
}

const REDIRECT_PLACES: &[&str] = &["scheme", "host", "uri", "path", "query"];

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn names_are_plain_and_short() {
        assert_parses(
            |n: Name| n.0,
            &[("api-v2", "api-v2".to_owned())],
            &[("a b", "\"a b\" is not a name"), ("", "\"\" is not a name")],
        );
    }

    #[test]
    fn methods_are_upper_case_tokens() {
        assert_parses(
            |m: MethodName| m.0,
            &[("GET", "GET".to_owned()), ("PROPFIND", "PROPFIND".to_owned())],
            &[
                ("get", "\"get\" can never match"),
                ("G T", "\"G T\" is not a method"),
                ("CONNECT", "CONNECT can never match"),
            ],
        );
    }

    #[test]
    fn a_redirect_leads_to_a_url_with_known_places() {
        assert_parses(
            |t: RedirectTarget| t.0,
            &[("https://{host}{uri}", "https://{host}{uri}".to_owned()), ("/new", "/new".to_owned())],
            &[
                ("https://$host$request_uri", "nginx's variables are written otherwise here"),
                ("https://{hots}/", "\"{hots}\" names nothing that could be filled in"),
                ("https://{host", "a `{` in \"https://{host\" is not closed"),
                ("example.com", "\"example.com\" is not a URL"),
                ("https://a b", "\"https://a b\" is not a URL"),
                ("https://a\r\nX:", "\"https://a\\r\\nX:\" is not a URL"),
            ],
        );
    }

    #[test]
    fn a_limit_counts_by_address_site_or_header() {
        assert_parses(
            |k: LimitKey| k,
            &[("client_ip", LimitKey::ClientIp), ("header:X-Api-Key", LimitKey::Header("x-api-key".to_owned()))],
            &[
                ("ip", "\"ip\" is not a key to count by"),
                ("header:", "\"\" is not a header name"),
                ("$binary_remote_addr", "\"$binary_remote_addr\" is not a key to count by"),
            ],
        );
    }
}
