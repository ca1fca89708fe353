//! Who asked, told to the upstream: X-Real-IP, X-Forwarded-For, -Proto and -Host, X-Request-Id.
//!
//! What a client says about itself is never believed. X-Forwarded-For is appended to, so that what came stands left of
//! what is known; the others are replaced, unless the peer is a trusted proxy.

use crate::http::address::Client;
use crate::http::field::{FieldId, FieldSet};
use crate::http::head::Fields;

/// Fields of the incoming request that are not copied upstream: [`Identity::append_http1`] writes what goes in their place.
/// Forwarded (RFC 7239) is among them so that an untrusted peer's is dropped.
pub const OWN_FIELDS: FieldSet = FieldSet::of(&[
    FieldId::XRealIp,
    FieldId::XForwardedFor,
    FieldId::XForwardedProto,
    FieldId::XForwardedHost,
    FieldId::XRequestId,
    FieldId::Forwarded,
]);

/// Whether a field name is dropped because an upstream might take it for another: it has a `_`, which CGI and its
/// descendants can't tell from `-` (`X_Forwarded_For`). nginx drops them as well (`underscores_in_headers off`).
pub fn is_suspicious(name: &[u8]) -> bool {
    memchr::memchr(b'_', name).is_some()
}

/// The facts about a request's sender.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The connection's other end.
    pub peer: Client,
    /// The client, as [`super::client::TrustedProxies::client`] tells it.
    pub client: Client,
    /// Whether the request came over TLS.
    pub tls: bool,
    /// The request's host, with its port if it named one. Empty: X-Forwarded-Host is left out.
    pub host: &'a [u8],
    pub request_id: &'a [u8],
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// The field for the subject of the client's certificate, and the subject.
    pub subject: Option<(&'a str, &'a str)>,
}

impl Identity<'_> {
    /// Appends the field lines, each with its line end. `fields` are those of the incoming request.
    pub fn append_http1(&self, fields: &Fields, out: &mut Vec<u8>) {
        out.extend_from_slice(b"X-Real-IP: ");
        self.client.to_canonical().append(out);
        // nginx's $proxy_add_x_forwarded_for.
        out.extend_from_slice(b"\r\nX-Forwarded-For: ");
        for line in fields.get_all(FieldId::XForwardedFor).filter(|line| !line.is_empty()) {
            out.extend_from_slice(line);
            out.extend_from_slice(b", ");
        }
        self.peer.to_canonical().append(out);
        out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
        out.extend_from_slice(self.proto(fields));
        let host = self.forwarded_host(fields);
        if !host.is_empty() {
            out.extend_from_slice(b"\r\nX-Forwarded-Host: ");
            out.extend_from_slice(host);
        }
        out.extend_from_slice(b"\r\nX-Request-Id: ");
        out.extend_from_slice(self.request_id);
        out.extend_from_slice(b"\r\n");
        if let Some((name, subject)) = self.subject {
            for part in [name, ": ", subject, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        if self.trusted {
            for line in fields.get_all(FieldId::Forwarded) {
                out.extend_from_slice(b"Forwarded: ");
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn proto<'a>(&self, fields: &'a Fields) -> &'a [u8] {
        let is_known = |proto: &&[u8]| proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"http");
        let own: &[u8] = if self.tls { b"https" } else { b"http" };
        self.believed(fields, FieldId::XForwardedProto).filter(is_known).unwrap_or(own)
    }

    fn forwarded_host<'a>(&'a self, fields: &'a Fields) -> &'a [u8] {
        let is_one_name = |host: &&[u8]| !host.is_empty() && host.iter().all(|b| b.is_ascii_graphic() && *b != b',');
        self.believed(fields, FieldId::XForwardedHost).filter(is_one_name).unwrap_or(self.host)
    }

    /// The field's value, if a trusted peer sent it, and sent one only: a second line could be the client's.
    fn believed<'a>(&self, fields: &'a Fields, id: FieldId) -> Option<&'a [u8]> {
        let mut values = fields.get_all(id).take(if self.trusted { 2 } else { 0 });
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn ip(text: &str) -> Client {
        Client::Ip(text.parse().unwrap())
    }

    fn identity(trusted: bool) -> Identity<'static> {
        Identity {
            peer: ip("10.0.0.1"),
            client: ip(if trusted { "198.51.100.7" } else { "10.0.0.1" }),
            tls: true,
            host: b"example.com:8443",
            request_id: b"id",
            trusted,
            subject: None,
        }
    }

    fn written(identity: Identity, lines: &[(&str, &str)]) -> String {
        let mut out = Vec::new();
        identity.append_http1(&fields(lines), &mut out);
        String::from_utf8(out).unwrap()
    }

    const SPOOFED: &[(&str, &str)] = &[
        ("X-Real-IP", "1.1.1.1"),
        ("X-Forwarded-For", "1.1.1.1"),
        ("x-forwarded-for", ""),
        ("x-forwarded-for", "198.51.100.7, 10.0.0.2"),
        ("X-Forwarded-Proto", "HTTP"),
        ("X-Forwarded-Host", "other.example"),
        ("X-Request-Id", "theirs"),
        ("Forwarded", "for=1.1.1.1"),
    ];

    #[test]
    fn an_untrusted_peer_s_word_is_only_kept_left_of_its_address() {
        assert_eq!(
            written(identity(false), SPOOFED),
            "X-Real-IP: 10.0.0.1\r\n\
             X-Forwarded-For: 1.1.1.1, 198.51.100.7, 10.0.0.2, 10.0.0.1\r\n\
             X-Forwarded-Proto: https\r\n\
             X-Forwarded-Host: example.com:8443\r\n\
             X-Request-Id: id\r\n"
        );
    }

    #[test]
    fn a_trusted_peer_s_proto_host_and_forwarded_are_kept() {
        assert_eq!(
            written(identity(true), SPOOFED),
            "X-Real-IP: 198.51.100.7\r\n\
             X-Forwarded-For: 1.1.1.1, 198.51.100.7, 10.0.0.2, 10.0.0.1\r\n\
             X-Forwarded-Proto: HTTP\r\n\
             X-Forwarded-Host: other.example\r\n\
             X-Request-Id: id\r\n\
             Forwarded: for=1.1.1.1\r\n"
        );
    }

    #[test]
    fn what_a_trusted_peer_says_twice_or_badly_is_replaced() {
        for lines in [
            &[("X-Forwarded-Proto", "http"), ("X-Forwarded-Proto", "http")][..],
            &[("X-Forwarded-Proto", "http, http"), ("X-Forwarded-Host", "a, b")],
            &[("X-Forwarded-Host", "a"), ("X-Forwarded-Host", "b")],
            &[("X-Forwarded-Host", ""), ("X-Forwarded-Proto", "gopher")],
        ] {
            let text = written(identity(true), lines);
            assert!(text.contains("-Proto: https\r\nX-Forwarded-Host: example.com:8443\r\n"), "{text}");
        }
    }

    #[test]
    fn without_a_host_there_is_no_forwarded_host() {
        let text = written(Identity { host: b"", tls: false, ..identity(false) }, &[]);
        assert!(
            text.ends_with("X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Request-Id: id\r\n"),
            "{text}"
        );
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for address in ["0.0.0.0", "255.1.20.100", "::", "2001:db8::1", "fe80::1:0:0:2"] {
            let mut out = Vec::new();
            ip(address).append(&mut out);
            assert_eq!(out, address.as_bytes());
        }
        let mut out = Vec::new();
        ip("::ffff:192.0.2.1").to_canonical().append(&mut out);
        assert_eq!(out, b"192.0.2.1");
    }

    #[test]
    fn names_with_an_underscore_are_suspicious() {
        for name in ["X_Forwarded_For", "x-real_ip", "_", "api_key"] {
            assert!(is_suspicious(name.as_bytes()), "{name}");
        }
        assert!(!is_suspicious(b"X-Forwarded-For"));
    }
}
