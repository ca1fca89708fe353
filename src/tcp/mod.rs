//! Connections that are passed on as they are: balanced like requests, relayed without a look inside.
//!
//! Runs on one worker's thread and touches no other. Of what is relayed it reads a ClientHello at most, and that only to
//! learn whom it is for. A connection holds what it began with: a reload changes nothing about it.

mod connect;
mod hello;
mod record;
mod relay;

#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::time::Instant;

use self::connect::connect;
use self::hello::read_hello;
use self::record::Session;
use self::relay::{Pair, relay};
use crate::http::address::Peer;
use crate::http::stream::Stream;
use crate::proxy::local::Local;
use crate::reason::Reason;
use crate::snapshot::CompiledTcp;
use crate::tls::Handshake;

/// What is known of a connection before its first byte is looked at.
pub struct TcpFacts {
    /// Or whom a PROXY header named.
    pub peer: Peer,
    /// Where the client had connected to, if a PROXY header told, or an upstream's endpoints want to be told.
    pub destination: Option<std::net::SocketAddr>,
    /// When it was accepted.
    pub started: Instant,
    /// TLS that ended here.
    pub tls: Option<Handshake>,
}

/// Serves a connection to its end. What happened is recorded once, on whatever way out; a panic ends it alone.
pub async fn serve_tcp(local: Rc<Local>, listener: Arc<CompiledTcp>, facts: TcpFacts, stream: Stream) {
    let peer = facts.peer;
    let session = Box::pin(serve(Rc::clone(&local), listener, facts, stream));
    if AssertUnwindSafe(session).catch_unwind().await.is_err() {
        local.metrics.panic();
        tracing::error!(%peer, "a connection's task panicked; it is closed");
    }
}

async fn serve(local: Rc<Local>, listener: Arc<CompiledTcp>, facts: TcpFacts, mut client: Stream) {
    let mut session = Session::new(local, facts);
    let outcome = pass_on(&mut session, &listener, &mut client).await;
    session.end(outcome.err());
}

/// From the first byte to the last.
///
/// # Errors
/// Why it ended otherwise than by the end of both sides.
async fn pass_on(session: &mut Session, listener: &CompiledTcp, client: &mut Stream) -> Result<(), Reason> {
    let mut early = Vec::new();
    if listener.reads_hello {
        // Boxed, and so is what follows: a connection that only relays mustn't hold their room.
        let hello = Box::pin(read_hello(session.local(), client, &mut early, listener.hello_timeout)).await;
        session.received(early.len());
        session.set_server_name(hello?.server_name);
    }
    let Some(target) = listener.find(session.server_name()) else { return Err(Reason::UnknownServerName) };
    session.set_upstream(target);
    #[cfg(test)]
    tests::panic_if_asked(session.server_name());
    let mut endpoint = Box::pin(connect(session, &target.upstream)).await?;
    relay(session, Pair::new(client, &mut endpoint), early, listener.idle_timeout).await
}
