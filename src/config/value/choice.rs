//! Closed sets of words. An unknown one gets the nearest and the whole list.

use serde_json::{Value as Json, json};

use super::{Complaint, Text};
use crate::config::diagnostic::{nearest, quote};
use crate::config::model::{ChallengeKind, KeyType, LogLevel, SameSite, SuiteOrder, TlsVersion, TsigAlgorithm};
use crate::proxy_protocol::Version;

/// `choice!` maps words to the values of a type, one to one.
macro_rules! choice {
    ($type:ty, $what:literal { $($word:literal => $value:expr),+ $(,)? }) => {
        impl Text for $type {
            const DEFINITION: Option<&'static str> = None;
            const EXPECTED: &'static str = $what;

            fn parse(text: &str) -> Result<Self, Complaint> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(unknown(text, $what, &[$($word),+])),
                }
            }

            fn json() -> Json {
                json!({ "enum": [$($word),+] })
            }
        }
    };
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyName {
    LeastConn,
    RoundRobin,
    Random,
    LeastTime,
    Hash,
    IpHash,
}

/// Which PROXY header is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyVersion(pub(crate) Version);

/// Which endpoints come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preference {
    SameZone,
}

/// What is spoken to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolName {
    Http1,
    H2,
    H2c,
}

/// Which bundle of security fields is set on responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecurityHeaders {
    Off,
    Guide,
    Strict,
}

/// A failure after which another endpoint is tried, in nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryCause {
    Error,
    Timeout,
    InvalidHeader,
    NonIdempotent,
    Status(u16),
}

/// The form of an event log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormatName {
    Text,
    Json,
}

choice!(PolicyName, "a policy" {
    "least_conn" => PolicyName::LeastConn,
    "round_robin" => PolicyName::RoundRobin,
    "random" => PolicyName::Random,
    "least_time" => PolicyName::LeastTime,
    "hash" => PolicyName::Hash,
    "ip_hash" => PolicyName::IpHash,
});

choice!(ProxyVersion, "a version of the PROXY protocol" {
    "v1" => ProxyVersion(Version::V1),
    "v2" => ProxyVersion(Version::V2),
});

choice!(ProtocolName, "a protocol" {
    "http/1.1" => ProtocolName::Http1,
    "h2" => ProtocolName::H2,
    "h2c" => ProtocolName::H2c,
});

choice!(Preference, "a preference" { "same-zone" => Preference::SameZone });

choice!(SameSite, "a value of SameSite" {
    "lax" => SameSite::Lax,
    "strict" => SameSite::Strict,
    "none" => SameSite::None,
});

choice!(SuiteOrder, "an order" { "server" => SuiteOrder::Server, "client" => SuiteOrder::Client });

choice!(TlsVersion, "a TLS version" { "1.2" => TlsVersion::Tls12, "1.3" => TlsVersion::Tls13 });

choice!(KeyType, "a kind of key" {
    "p256" => KeyType::P256,
    "p384" => KeyType::P384,
    "rsa2048" => KeyType::Rsa2048,
});

choice!(ChallengeKind, "a challenge" {
    "http-01" => ChallengeKind::Http01,
    "tls-alpn-01" => ChallengeKind::TlsAlpn01,
    "dns-01" => ChallengeKind::Dns01,
});

choice!(TsigAlgorithm, "an algorithm of TSIG" {
    "hmac-sha256" => TsigAlgorithm::Sha256,
    "hmac-sha384" => TsigAlgorithm::Sha384,
    "hmac-sha512" => TsigAlgorithm::Sha512,
});

choice!(LogLevel, "a log level" {
    "error" => LogLevel::Error,
    "warn" => LogLevel::Warn,
    "info" => LogLevel::Info,
    "debug" => LogLevel::Debug,
});

choice!(LogFormatName, "a form of log line" { "text" => LogFormatName::Text, "json" => LogFormatName::Json });

choice!(SecurityHeaders, "a set of security headers" {
    "off" => SecurityHeaders::Off,
    "guide" => SecurityHeaders::Guide,
    "strict" => SecurityHeaders::Strict,
});

choice!(RetryCause, "a cause for a retry" {
    "error" => RetryCause::Error,
    "timeout" => RetryCause::Timeout,
    "invalid_header" => RetryCause::InvalidHeader,
    "non_idempotent" => RetryCause::NonIdempotent,
    "http_500" => RetryCause::Status(500),
    "http_502" => RetryCause::Status(502),
    "http_503" => RetryCause::Status(503),
    "http_504" => RetryCause::Status(504),
    "http_403" => RetryCause::Status(403),
    "http_404" => RetryCause::Status(404),
    "http_429" => RetryCause::Status(429),
});

pub(super) fn unknown(text: &str, what: &str, words: &[&str]) -> Complaint {
    let complaint =
        Complaint::new(format!("{} is not {what}", quote(text))).label(format!("known are: {}", words.join(", ")));
    match nearest(text, words.iter().copied()) {
        Some(near) => complaint.help(format!("did you mean \"{near}\"?")),
        None => complaint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_gets_the_nearest_and_the_list() {
        let complaint = PolicyName::parse("least_con").unwrap_err();
        assert_eq!(complaint.title, "\"least_con\" is not a policy");
        assert_eq!(complaint.label, "known are: least_conn, round_robin, random, least_time, hash, ip_hash");
        assert_eq!(complaint.help.as_deref(), Some("did you mean \"least_conn\"?"));
    }

    #[test]
    fn every_set_tells_what_it_knows() {
        assert_eq!(KeyType::parse("p521").unwrap_err().label, "known are: p256, p384, rsa2048");
        assert_eq!(ChallengeKind::parse("http").unwrap_err().title, "\"http\" is not a challenge");
        assert_eq!(TsigAlgorithm::parse("hmac-md5").unwrap_err().title, "\"hmac-md5\" is not an algorithm of TSIG");
    }
}
