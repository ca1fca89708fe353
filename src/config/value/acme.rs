//! What certificates from a CA are asked for with.

use http::Uri;
use serde_json::{Value as Json, json};

use super::{Complaint, Name, Text, string_schema};

/// A mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Email(pub(crate) String);

/// A CA: by a name, or by the URL of its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IssuerText {
    Named(String),
    At(String),
}

/// An https URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryUrl(pub(crate) String);

/// An http or https URL that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskUrl(pub(crate) String);

/// A certificate that isn't in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByAcme;

impl Text for Email {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a mail address";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if let Some(address) = text.strip_prefix("mailto:") {
            return Err(Complaint::is_not(text, "a mail address").help(format!("leave `mailto:` out: \"{address}\"")));
        }
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"?,@".contains(&b));
        match text.split_once('@') {
            Some((local, domain)) if plain(local) && plain(domain) => Ok(Self(text.to_owned())),
            _ => Err(Complaint::is_not(text, "a mail address").help("write it like \"ops@example.com\"")),
        }
    }

    fn json() -> Json {
        string_schema("A mail address.", &["ops@example.com"])
    }
}

impl Text for IssuerText {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a CA's name, or the URL of its directory";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match text.contains(':') || text.contains('/') {
            true => DirectoryUrl::parse(text).map(|url| Self::At(url.0)),
            false => Name::parse(text).map(|name| Self::Named(name.0)),
        }
    }

    fn json() -> Json {
        string_schema(
            "`letsencrypt`, `letsencrypt-staging`, `zerossl`, `google`, the name of an `[acme.issuer]`, or the https URL \
             of an ACME directory.",
            &["letsencrypt", "https://ca.internal/acme/directory"],
        )
    }
}

impl Text for DirectoryUrl {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "an https URL";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match url_scheme(text).as_deref() {
            Some("https") => Ok(Self(text.to_owned())),
            Some("http") => Err(Complaint::is_not(text, "an https URL").help(
                "ACME is spoken over TLS only (RFC 8555 6.1); for a CA of your own, say with `root` who vouches for it",
            )),
            _ => {
                Err(Complaint::is_not(text, "an https URL")
                    .help("write it like \"https://ca.internal/acme/directory\""))
            }
        }
    }

    fn json() -> Json {
        string_schema("An https URL.", &["https://ca.internal/acme/directory"])
    }
}

impl Text for AskUrl {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a URL";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match url_scheme(text).as_deref() {
            Some("http" | "https") => Ok(Self(text.to_owned())),
            _ => {
                Err(Complaint::is_not(text, "a URL")
                    .help("write it like \"http://127.0.0.1:9123/may-have-certificate\""))
            }
        }
    }

    fn json() -> Json {
        string_schema("An http or https URL.", &["http://127.0.0.1:9123/may-have-certificate"])
    }
}

impl Text for ByAcme {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "\"acme\", or a table with `chain` and `key`";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match text {
            "acme" => Ok(Self),
            _ => Err(Complaint::is_not(text, "a certificate").help(
                "write \"acme\" for one that Tidegate gets by itself, or `{ chain = \"cert.pem\", key = \"key.pem\" }`",
            )),
        }
    }

    fn json() -> Json {
        json!({ "const": "acme" })
    }
}

/// The scheme of a URL with a host and without credentials.
fn url_scheme(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let plain = !authority.host().is_empty() && !authority.as_str().contains('@');
    uri.scheme_str().filter(|_| plain).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn a_ca_has_a_name_or_an_https_url() {
        assert_parses(
            |issuer: IssuerText| issuer,
            &[
                ("letsencrypt", IssuerText::Named("letsencrypt".into())),
                ("https://ca:14000/dir", IssuerText::At("https://ca:14000/dir".into())),
            ],
            &[
                ("http://ca/dir", "\"http://ca/dir\" is not an https URL"),
                ("https://user@ca/dir", "\"https://user@ca/dir\" is not an https URL"),
                ("https:///dir", "\"https:///dir\" is not an https URL"),
                ("my ca", "\"my ca\" is not a name"),
            ],
        );
    }

    #[test]
    fn mail_addresses_have_two_plain_parts() {
        assert_parses(
            |email: Email| email.0,
            &[("ops@example.com", "ops@example.com".to_owned())],
            &[
                ("ops", "\"ops\" is not a mail address"),
                ("mailto:a@b.c", "\"mailto:a@b.c\" is not a mail address"),
                ("a@b@c", "\"a@b@c\" is not a mail address"),
                ("a b@c", "\"a b@c\" is not a mail address"),
            ],
        );
    }

    #[test]
    fn certificates_in_files_are_tables() {
        assert_parses(|by: ByAcme| by, &[("acme", ByAcme)], &[("cert.pem", "\"cert.pem\" is not a certificate")]);
    }
}
