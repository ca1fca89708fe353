//! Who may have a certificate on demand: whoever is asked says so, and what it says is remembered for a while.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;

use super::Moment;
use super::client::{Client, Roots};
use crate::config::Ask;

/// What was said of hosts, and how many new ones there may be.
#[derive(Debug, Default)]
pub struct Gatekeeper {
    denied: HashMap<String, Moment>,
    /// When the last ones were let in.
    admitted: Vec<Moment>,
}

/// Whether a host may have a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Denied,
    /// Nobody could be asked.
    Unknown(String),
}

/// A denial holds for this long.
const DENIED_FOR: Duration = Duration::from_secs(10 * 60);
/// And this, if nobody could be asked.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Denials remembered. More than this are somebody's scan, and are asked about again.
const MOST_DENIED: usize = 20_000;
/// New certificates in a minute.
const MOST_A_MINUTE: usize = 30;
const MINUTE: Duration = Duration::from_secs(60);
const ANSWER_TAKES_AT_MOST: Duration = Duration::from_secs(5);

impl Gatekeeper {
    /// Whether a host is known to be denied.
    pub fn denies(&self, host: &str, now: Moment) -> bool {
        self.denied.get(host).is_some_and(|until| *until > now)
    }

    /// Takes one of the minute's places for a new certificate; `false`: all are taken.
    pub fn admit(&mut self, now: Moment) -> bool {
        self.admitted.retain(|at| *at + MINUTE > now);
        let free = self.admitted.len() < MOST_A_MINUTE;
        if free {
            self.admitted.push(now);
        }
        free
    }

    /// Remembers what was said.
    pub fn remember(&mut self, host: &str, verdict: &Verdict, now: Moment) {
        let until = match verdict {
            Verdict::Allowed => {
                self.denied.remove(host);
                return;
            }
            Verdict::Denied => now + DENIED_FOR,
            Verdict::Unknown(_) => now + UNKNOWN_FOR,
        };
        if self.denied.len() >= MOST_DENIED {
            self.denied.retain(|_, until| *until > now);
            if self.denied.len() >= MOST_DENIED {
                self.denied.clear();
            }
        }
        self.denied.insert(host.to_owned(), until);
    }
}

/// Asks: `GET URL?domain=HOST`, and 200 is yes.
pub async fn ask(ask: &Ask, host: &str) -> Verdict {
    let joint = if ask.url.contains('?') { '&' } else { '?' };
    let url = format!("{}{joint}domain={host}", ask.url);
    let client = Client::new(Roots::system().into());
    match tokio::time::timeout(ANSWER_TAKES_AT_MOST, client.get(&url)).await {
        Ok(Ok((StatusCode::OK, _))) => Verdict::Allowed,
        Ok(Ok((status, _))) if status.is_server_error() => Verdict::Unknown(format!("it answers {}", status.as_u16())),
        Ok(Ok(_)) => Verdict::Denied,
        Ok(Err(fault)) => Verdict::Unknown(fault.to_string()),
        Err(_) => Verdict::Unknown("no answer within 5 s".to_owned()),
    }
}

/// Whether a CA can certify a host at all: a name of two labels or more, and no address. It is in lower case, and rustls
/// has seen that it is a name.
pub fn is_certifiable(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let is_name = host.len() <= 253 && host.contains('.') && host.bytes().all(plain);
    is_name && !host.starts_with('.') && !host.ends_with('.') && host.parse::<std::net::IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Moment {
        Moment::from_seconds(1_800_000_000)
    }

    #[test]
    fn a_denial_holds_for_a_while_and_an_outage_for_a_moment() {
        let mut gatekeeper = Gatekeeper::default();
        gatekeeper.remember("a.b", &Verdict::Denied, now());
        gatekeeper.remember("c.d", &Verdict::Unknown("down".into()), now());
        assert!(gatekeeper.denies("a.b", now()) && gatekeeper.denies("c.d", now()));
        assert!(!gatekeeper.denies("c.d", now() + UNKNOWN_FOR));
        assert!(gatekeeper.denies("a.b", now() + UNKNOWN_FOR) && !gatekeeper.denies("a.b", now() + DENIED_FOR));
        gatekeeper.remember("a.b", &Verdict::Allowed, now());
        assert!(!gatekeeper.denies("a.b", now()));
    }

    #[test]
    fn new_certificates_are_thirty_a_minute() {
        let mut gatekeeper = Gatekeeper::default();
        let admitted = (0..100).filter(|_| gatekeeper.admit(now())).count();
        assert_eq!(admitted, MOST_A_MINUTE);
        assert!(gatekeeper.admit(now() + MINUTE));
    }

    #[test]
    fn denials_are_bounded() {
        let mut gatekeeper = Gatekeeper::default();
        for number in 0..MOST_DENIED + 10 {
            gatekeeper.remember(&format!("h{number}.test"), &Verdict::Denied, now());
        }
        assert!(gatekeeper.denied.len() <= MOST_DENIED);
    }

    #[test]
    fn only_names_are_certified() {
        for (host, expected) in [
            ("a.b", true),
            ("x-1.example.com", true),
            ("localhost", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("a_b.c", false),
            (".a.b", false),
            ("a.b.", false),
            ("", false),
        ] {
            assert_eq!(is_certifiable(host), expected, "{host}");
        }
    }
}
