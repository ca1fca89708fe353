//! Host names of a site, as nginx's `server_name` writes them.

use std::net::Ipv6Addr;

use serde_json::Value as Json;

use super::address::is_host_name;
use super::{Complaint, Text, string_schema};
use crate::config::model::HostPattern;

/// One entry of `hosts`. `.example.com` stands for two patterns: the name itself and everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(pub(crate) Vec<HostPattern>);

impl Text for HostName {
    const DEFINITION: Option<&'static str> = Some("Host");
    const EXPECTED: &'static str = "a host name";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let wrong = |help: &str| Err(Complaint::is_not(text, "a host name").help(help));
        let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if matches!(text, "_" | "*" | "") {
            return wrong("for a site that serves every other host, write `default = true`");
        }
        if !text.is_ascii() {
            return wrong("write an international name in its ASCII form: \"xn--…\"");
        }
        if text.contains("://") {
            return wrong("leave the scheme out");
        }
        if text.starts_with('~') {
            return wrong("hosts can't be regular expressions; use wildcards: \"*.example.com\"");
        }
        if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            return match v6.parse::<Ipv6Addr>() {
                Ok(ip) => Ok(Self(vec![HostPattern::Exact(format!("[{ip}]"))])),
                Err(_) => wrong("what stands in the brackets is no IPv6 address"),
            };
        }
        if host.contains(':') {
            return wrong("leave the port out: a site serves its hosts on every listener");
        }
        let (patterns, fixed) = if let Some(tail) = host.strip_prefix("*.") {
            (vec![HostPattern::LeadingWildcard(format!(".{tail}"))], tail)
        } else if let Some(tail) = host.strip_prefix('.') {
            (vec![HostPattern::Exact(tail.to_owned()), HostPattern::LeadingWildcard(format!(".{tail}"))], tail)
        } else if let Some(head) = host.strip_suffix(".*") {
            (vec![HostPattern::TrailingWildcard(format!("{head}."))], head)
        } else {
            (vec![HostPattern::Exact(host.clone())], &*host)
        };
        if fixed.contains('*') {
            return wrong("a `*` stands for whole labels, at one end: \"*.example.com\" or \"www.example.*\"");
        }
        if !is_host_name(fixed) || fixed.ends_with('.') {
            return wrong("a host name has letters, digits, `-` and dots");
        }
        Ok(Self(patterns))
    }

    fn json() -> Json {
        string_schema(
            "A host name without port, in any case. `*.example.com` is every name below it, `.example.com` these and \
             the name itself, `www.example.*` the name under every domain.",
            &["example.com", "*.example.com", ".example.com", "www.example.*", "192.0.2.1", "[2001:db8::1]"],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn hosts_are_exact_or_have_one_wildcard() {
        use HostPattern::{Exact, LeadingWildcard, TrailingWildcard};
        assert_parses(
            |h: HostName| h.0,
            &[
                ("Example.com", vec![Exact("example.com".into())]),
                ("example.com.", vec![Exact("example.com".into())]),
                ("*.example.com", vec![LeadingWildcard(".example.com".into())]),
                (".example.com", vec![Exact("example.com".into()), LeadingWildcard(".example.com".into())]),
                ("www.example.*", vec![TrailingWildcard("www.example.".into())]),
                ("192.0.2.1", vec![Exact("192.0.2.1".into())]),
                ("[::1]", vec![Exact("[::1]".into())]),
            ],
            &[
                ("_", "\"_\" is not a host name"),
                ("*", "\"*\" is not a host name"),
                ("a.*.b", "\"a.*.b\" is not a host name"),
                ("*.a.*", "\"*.a.*\" is not a host name"),
                ("*a.b", "\"*a.b\" is not a host name"),
                ("*.*.b", "\"*.*.b\" is not a host name"),
                ("..a", "\"..a\" is not a host name"),
                ("*..a", "\"*..a\" is not a host name"),
                ("a..b", "\"a..b\" is not a host name"),
                ("a.b:80", "\"a.b:80\" is not a host name"),
                ("http://a", "\"http://a\" is not a host name"),
                ("münchen.de", "\"münchen.de\" is not a host name"),
                ("~^x", "\"~^x\" is not a host name"),
                ("a b", "\"a b\" is not a host name"),
                ("a/b", "\"a/b\" is not a host name"),
            ],
        );
    }
}
