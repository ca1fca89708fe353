//! The facts gathered about one request. Recorded exactly once, when they are dropped: on whatever way out.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::local::{ListenerSeat, Local, Pinned};
use super::record;
use crate::config::UpstreamHost;
use crate::filter::headers::HeaderRules;
use crate::filter::limit::Standing;
use crate::filter::request_id::{self, RequestId};
use crate::http::address::{Client, Peer};
use crate::http::head::RequestHead;
use crate::reason::Reason;
use crate::route::{RouteIndex, SiteIndex};
use crate::snapshot::{CompiledRoute, Target};
use crate::tls::Handshake;
use crate::upstream::Endpoint;

/// What all requests of a connection share.
pub struct ConnectionFacts {
    /// Or whom a PROXY header named.
    pub peer: Peer,
    /// Where the client had connected to, if a PROXY header told, or an upstream's endpoints want to be told.
    pub destination: Option<SocketAddr>,
    pub seat: Rc<ListenerSeat>,
    pub tls: Option<Handshake>,
}

/// A request and what became of it so far.
pub struct RequestContext {
    pub local: Rc<Local>,
    pub snapshot: Rc<Pinned>,
    pub connection: Rc<ConnectionFacts>,
    /// Index into the snapshot's listeners.
    pub listener: usize,
    pub head: RequestHead,
    pub started: Instant,
    pub client: Client,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    own_id: RequestId,
    pub site: Option<SiteIndex>,
    pub route: Option<RouteIndex>,
    pub standing: Option<Standing>,
    pub status: u16,
    pub reason: Option<Reason>,
    pub attempts: u32,
    pub endpoint: Option<Arc<Endpoint>>,
    /// Where the attempts before the last one went.
    pub retried: Vec<Arc<str>>,
    /// Of the last attempt; `None` if a pooled connection served.
    pub connect: Option<Duration>,
    /// Of the last attempt, from its start to its response head.
    pub first_byte: Option<Duration>,
    /// Bytes, on HTTP/2 before compression.
    pub head_received: u64,
    pub head_sent: u64,
    /// The request was handled to its end; otherwise its task was dropped, or panicked.
    pub completed: bool,
    pub body_received: u64,
    pub body_sent: u64,
}

impl RequestContext {
    pub fn new(
        local: &Rc<Local>,
        connection: &Rc<ConnectionFacts>,
        listener: usize,
        head: RequestHead,
        started: Instant,
    ) -> Self {
        let snapshot = local.snapshot();
        let peer = connection.peer.client();
        let trusted = snapshot.trusted.is_trusted(peer);
        let client = if trusted { snapshot.trusted.client(peer, &head.fields) } else { peer };
        local.metrics.request_started();
        Self {
            local: Rc::clone(local),
            snapshot,
            connection: Rc::clone(connection),
            listener,
            head,
            started,
            client,
            trusted,
            own_id: RequestId::random(),
            site: None,
            route: None,
            standing: None,
            status: 0,
            reason: None,
            attempts: 0,
            endpoint: None,
            retried: Vec::new(),
            connect: None,
            first_byte: None,
            head_received: 0,
            head_sent: 0,
            completed: false,
            body_received: 0,
            body_sent: 0,
        }
    }

    /// The id of the request: a trusted peer's, else our own.
    pub fn request_id(&self) -> &[u8] {
        let received = if self.trusted { request_id::received(&self.head.fields) } else { None };
        received.unwrap_or(self.own_id.as_bytes())
    }

    /// The field for the subject of the client's certificate, and the subject, if the listener wants it told.
    pub fn client_subject(&self) -> Option<(&str, &str)> {
        let subject = self.connection.tls.as_ref()?.client_subject.as_deref()?;
        Some((self.snapshot.listener(self.listener)?.subject_header.as_deref()?, subject))
    }

    pub fn compiled_route(&self) -> Option<&CompiledRoute> {
        self.route.and_then(|route| self.snapshot.route(route))
    }

    /// The response rules for where the request got to: listener, site, route.
    pub fn response_rules(&self) -> &HeaderRules {
        self.snapshot.response_rules(self.listener, self.site, self.route)
    }

    pub fn request_rules(&self) -> &HeaderRules {
        self.snapshot.request_rules(self.route)
    }

    pub fn upstream_host(&self) -> &UpstreamHost {
        match self.compiled_route().map(|route| &route.terms.target) {
            Some(Target::Forward(upstream)) => &upstream.config().host,
            _ => &UpstreamHost::Request,
        }
    }
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        record::finish(self);
    }
}
