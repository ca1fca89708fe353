//! What the access log knows of a request, and the names under which formats ask for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::http::address::{Client, Peer};
use crate::http::head::Version;
use crate::reason::Reason;

/// A request that is over. Byte strings are as received: formats escape them.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request was over.
    pub time: SystemTime,
    /// The client: the peer, or whom a trusted proxy named.
    pub client: Client,
    /// The other end of the connection, or whom a PROXY header named.
    pub peer: Peer,
    /// Empty if no request line could be read.
    pub method: &'a [u8],
    /// Raw path and query; with an empty method, the request line as far as it came.
    pub target: &'a [u8],
    /// `None`: no HTTP.
    pub version: Option<Version>,
    /// As received, with its port; empty without one.
    pub host: &'a [u8],
    /// What the client got, or 499.
    pub status: u16,
    /// Bytes of the response's body, as nginx's `$body_bytes_sent`.
    pub bytes_sent: u64,
    /// Bytes of the request's head and body, as nginx's `$request_length`.
    pub bytes_received: u64,
    pub referer: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
    /// The user of a Basic Authorization.
    pub user: Option<&'a [u8]>,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// Empty if no site was found.
    pub site: &'a str,
    /// Empty if no route was found.
    pub route: &'a str,
    pub upstream: Option<&'a str>,
    /// Where the last attempt went.
    pub endpoint: Option<&'a str>,
    /// Where the attempts before it went, in order.
    pub retried: &'a [Arc<str>],
    /// Attempts at endpoints, the first among them.
    pub attempts: u32,
    /// Time to connect, if the last attempt opened a connection.
    pub connect: Option<Duration>,
    /// From the request sent to the first byte of the last attempt's response.
    pub first_byte: Option<Duration>,
    /// Why Tidegate answered itself, or cut the response short.
    pub reason: Option<Reason>,
    pub request_id: &'a [u8],
    pub tls: Option<TlsRecord<'a>>,
}

/// The TLS session that a request came in.
#[derive(Clone, Copy, Debug)]
pub struct TlsRecord<'a> {
    /// `TLSv1.3`
    pub version: &'a str,
    pub cipher: &'a str,
    pub resumed: bool,
    /// The subject of the client's certificate.
    pub client: Option<&'a str>,
}

macro_rules! fields {
    ($($variant:ident = $name:literal,)+) => {
        /// A part of a record that a format can name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Field {
            $($variant,)+
        }

        impl Field {
            /// Every field, in the order of the JSON form.
            pub(super) const ALL: &[Field] = &[$(Field::$variant),+];

            pub(super) fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)+ }
            }

            /// As the JSON form begins it, with a comma before it.
            pub(super) fn key(self) -> &'static str {
                match self { $(Field::$variant => concat!(",\"", $name, "\":"),)+ }
            }
        }

        /// The names of all fields, in the order of the JSON form.
        pub const FIELDS: &[&str] = &[$($name),+];
    };
}

fields! {
    Time = "time",
    Client = "client",
    Peer = "peer",
    User = "user",
    Method = "method",
    Host = "host",
    Target = "target",
    Version = "version",
    Status = "status",
    BytesSent = "bytes_sent",
    BytesReceived = "bytes_received",
    Duration = "duration",
    Referer = "referer",
    UserAgent = "user_agent",
    Site = "site",
    Route = "route",
    Upstream = "upstream",
    Endpoint = "endpoint",
    Retried = "retried",
    Attempts = "attempts",
    Connect = "connect",
    FirstByte = "first_byte",
    Reason = "reason",
    RequestId = "request_id",
    TlsVersion = "tls_version",
    TlsCipher = "tls_cipher",
    TlsResumed = "tls_resumed",
    TlsClient = "tls_client",
}

/// A field's value, before a format gives it its form.
pub(super) enum Value<'a> {
    Absent,
    Bytes(&'a [u8]),
    Number(u64),
    Flag(bool),
    Seconds(Duration),
    Client(Client),
    Peer(Peer),
    List(&'a [Arc<str>]),
    Time(SystemTime),
}

impl<'a> Record<'a> {
    pub(super) fn value(&self, field: Field) -> Value<'a> {
        match field {
            Field::Time => Value::Time(self.time),
            Field::Client => Value::Client(self.client),
            Field::Peer => Value::Peer(self.peer),
            Field::User => self.user.into(),
            Field::Method => self.method.into(),
            Field::Host => self.host.into(),
            Field::Target => self.target.into(),
            Field::Version => self.version.map(|version| version.as_str().as_bytes()).into(),
            Field::Status => Value::Number(self.status.into()),
            Field::BytesSent => Value::Number(self.bytes_sent),
            Field::BytesReceived => Value::Number(self.bytes_received),
            Field::Duration => Value::Seconds(self.duration),
            Field::Referer => self.referer.into(),
            Field::UserAgent => self.user_agent.into(),
            Field::Site => self.site.as_bytes().into(),
            Field::Route => self.route.as_bytes().into(),
            Field::Upstream => self.upstream.map(str::as_bytes).into(),
            Field::Endpoint => self.endpoint.map(str::as_bytes).into(),
            Field::Retried if self.retried.is_empty() => Value::Absent,
            Field::Retried => Value::List(self.retried),
            Field::Attempts => Value::Number(self.attempts.into()),
            Field::Connect => self.connect.map_or(Value::Absent, Value::Seconds),
            Field::FirstByte => self.first_byte.map_or(Value::Absent, Value::Seconds),
            Field::Reason => self.reason.map(|reason| reason.name().as_bytes()).into(),
            Field::RequestId => self.request_id.into(),
            Field::TlsVersion => self.tls.map(|tls| tls.version.as_bytes()).into(),
            Field::TlsCipher => self.tls.map(|tls| tls.cipher.as_bytes()).into(),
            Field::TlsResumed => self.tls.map_or(Value::Absent, |tls| Value::Flag(tls.resumed)),
            Field::TlsClient => self.tls.and_then(|tls| tls.client.map(str::as_bytes)).into(),
        }
    }
}

/// Empty is absent.
impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() { Value::Absent } else { Value::Bytes(bytes) }
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        bytes.unwrap_or_default().into()
    }
}
