//! What balancing looks at in a request. Most upstreams look at nothing.

use std::fmt::Write;
use std::net::IpAddr;

use super::sticky::{Sticky, Token};
use crate::config::{self, HashKey, Policy};
use crate::http::address::Client;
use crate::http::field::FieldId;
use crate::http::head::{Fields, RequestHead};

/// What an upstream asks of each request, and what it takes note of afterwards.
pub struct Asks {
    key: Option<HashKey>,
    client: bool,
    sticky: Option<Sticky>,
    time: bool,
}

impl Asks {
    /// `None` if the upstream needs nothing of a request.
    pub(super) fn of(config: &config::Upstream) -> Option<Self> {
        let asks = Self {
            key: match &config.policy {
                Policy::Hash(hash) => Some(hash.key.clone()),
                _ => None,
            },
            client: config.policy == Policy::IpHash,
            sticky: config.sticky.as_ref().and_then(|sticky| Sticky::new(sticky, &config.name)),
            time: config.policy == Policy::LeastTime,
        };
        (asks.key.is_some() || asks.client || asks.sticky.is_some() || asks.time).then_some(asks)
    }

    /// Looks a request through.
    pub fn read<'a>(&self, head: &'a RequestHead, client: Client) -> Ask<'a> {
        let key = match &self.key {
            None => Key::Missing,
            Some(HashKey::ClientIp) => Key::of_client(client),
            Some(HashKey::Path) => Key::Bytes(head.path()),
            Some(HashKey::Uri) => Key::Bytes(head.target()),
            Some(HashKey::Header(name)) => head.fields.find(name.as_bytes()).map_or(Key::Missing, Key::Bytes),
            Some(HashKey::Cookie(name)) => cookie(&head.fields, name).map_or(Key::Missing, Key::Bytes),
        };
        let token = self.sticky.as_ref().and_then(|sticky| Token::parse(cookie(&head.fields, sticky.cookie())?));
        Ask { key, client: self.network_of(client), token }
    }

    /// Whose network counts; one over a Unix socket has none.
    fn network_of(&self, client: Client) -> Option<IpAddr> {
        match client {
            Client::Ip(ip) if self.client => Some(ip),
            _ => None,
        }
    }

    /// The value of a Set-Cookie field that leads the client back to the endpoint that has this token, if the one that
    /// it sent doesn't.
    pub fn new_cookie(&self, head: &RequestHead, endpoint: &super::Endpoint, tls: bool) -> Option<String> {
        let (sticky, token) = (self.sticky.as_ref()?, endpoint.token?);
        let sent = cookie(&head.fields, sticky.cookie()).and_then(Token::parse);
        (sent != Some(token)).then(|| sticky.set_cookie(token, tls))
    }

    /// Whether [`Endpoint::note_time`](super::Endpoint::note_time) is wanted.
    pub fn wants_time(&self) -> bool {
        self.time
    }

    pub(super) fn sticky(&self) -> Option<&Sticky> {
        self.sticky.as_ref()
    }
}

/// What was found in one request.
#[derive(Debug)]
pub struct Ask<'a> {
    key: Key<'a>,
    pub(super) client: Option<IpAddr>,
    pub(super) token: Option<Token>,
}

impl Ask<'_> {
    /// Of a client without a request.
    pub fn of_client(asks: &Asks, client: Client) -> Ask<'static> {
        let key = match asks.key {
            Some(HashKey::ClientIp) => Key::of_client(client),
            _ => Key::Missing,
        };
        Ask { key, client: asks.network_of(client), token: None }
    }

    /// Of an upstream that asks nothing.
    pub const NOTHING: Self = Self { key: Key::Missing, client: None, token: None };

    /// What is hashed.
    pub(super) fn key(&self) -> Option<&[u8]> {
        match &self.key {
            Key::Missing => None,
            Key::Bytes(bytes) => Some(bytes),
            Key::Client(text) => Some(text.bytes()),
        }
    }
}

#[cfg(test)]
impl<'a> Ask<'a> {
    pub(super) fn keyed(key: &'a [u8]) -> Self {
        Self { key: Key::Bytes(key), ..Self::NOTHING }
    }

    pub(super) fn from(client: IpAddr) -> Self {
        Self { client: Some(client), ..Self::NOTHING }
    }

    pub(super) fn with(token: Option<Token>) -> Self {
        Self { token, ..Self::NOTHING }
    }
}

#[derive(Debug)]
enum Key<'a> {
    Missing,
    Bytes(&'a [u8]),
    Client(AddressText),
}

impl Key<'_> {
    fn of_client(client: Client) -> Self {
        let mut text = AddressText::default();
        // The longest address fits.
        let _ = write!(text, "{}", client.to_canonical());
        Self::Client(text)
    }
}

/// An address as nginx's `$remote_addr` has it, without allocating.
#[derive(Debug)]
struct AddressText {
    bytes: [u8; LONGEST_ADDRESS],
    length: usize,
}

impl AddressText {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Default for AddressText {
    fn default() -> Self {
        Self { bytes: [0; LONGEST_ADDRESS], length: 0 }
    }
}

impl Write for AddressText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// A cookie's value, the first of its name: RFC 6265 4.2.1. HTTP/2 may send each in a field of its own (RFC 9113 8.2.3).
pub fn cookie<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let pairs = fields.get_all(FieldId::Cookie).flat_map(|field| field.split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
const LONGEST_ADDRESS: usize = 45;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name_in_any_field() {
        let mut fields = Fields::default();
        fields.push(b"Cookie", b"a=1; xroute=2;route_=3; route=4=5 ; b");
        fields.push(b"Cookie", b"other=6");
        let value = |name| cookie(&fields, name).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(value("route").as_deref(), Some("4=5"));
        assert_eq!(value("other").as_deref(), Some("6"));
        assert_eq!(value("b"), None);
        assert_eq!(value("ROUTE"), None);
    }

    #[test]
    fn the_longest_address_has_room() {
        let text = |address: &str| {
            let key = Key::of_client(Client::Ip(address.parse().unwrap()));
            let Key::Client(text) = &key else { panic!("{key:?}") };
            String::from_utf8(text.bytes().to_vec()).unwrap()
        };
        let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(text(long), long);
        assert_eq!(text("::ffff:10.0.0.1"), "10.0.0.1");
    }
}
