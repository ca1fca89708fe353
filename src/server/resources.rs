//! What a configuration needs of the machine, and what a scrape reads of the live state.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;

use super::instance::StartError;
use crate::bind_error::explain_bind_error;
use crate::config::{self, Config};
use crate::listener::socket::{Bound, bind};
use crate::metrics::EndpointSample;
use crate::snapshot::{Snapshot, upstream_tls_faults};
use crate::tls;
use crate::worker::Opening;

/// Binds an address once for each worker.
///
/// # Errors
/// One clear line, with the holder of the address where it is known.
pub(super) fn bind_listener(address: SocketAddr, backlog: u32, count: usize) -> Result<Bound, StartError> {
    bind(address, backlog, count).map_err(|error| StartError::Bind(explain_bind_error(address, &error)))
}

/// A listener's address with what serves it: sockets for the workers that don't have one yet, and TLS.
pub(super) struct Listening {
    configured: SocketAddr,
    bound: Bound,
    tls: Option<Arc<ServerConfig>>,
}

impl Listening {
    /// As configured, and as bound.
    pub(super) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.configured, self.bound.address)
    }

    /// One worker's share.
    pub(super) fn opening(&mut self) -> Opening {
        Opening { address: self.bound.address, socket: self.bound.sockets.pop(), tls: self.tls.clone() }
    }
}

/// Binds what isn't among the `kept` addresses (as configured, and as bound) yet, and makes each listener's TLS settings.
///
/// # Errors
/// The first listener that can't be served.
pub(super) fn listen(
    config: &Config,
    kept: &[(SocketAddr, SocketAddr)],
    workers: usize,
    certificates: &Arc<tls::Store>,
    tickets: &Arc<tls::Tickets>,
) -> Result<Vec<Listening>, StartError> {
    let serve = |listener: &config::Listener| {
        let address = listener.address;
        let settings = |tls| tls::server_config(tls, Arc::clone(certificates), tickets);
        let tls = listener.tls.as_ref().map(settings).transpose();
        let tls = tls.map_err(|error| StartError::Tls { address, error })?;
        let bound = match kept.iter().find(|(configured, _)| *configured == address) {
            Some((_, bound)) => Bound { address: *bound, sockets: Vec::new() },
            None => bind_listener(address, listener.backlog, workers)?,
        };
        Ok(Listening { configured: address, bound, tls })
    };
    config.listeners.iter().map(serve).collect()
}

pub(super) fn live_endpoints(snapshot: &Snapshot) -> Vec<EndpointSample> {
    let now = Instant::now();
    let mut samples = Vec::new();
    for upstream in &snapshot.upstreams {
        for endpoint in upstream.endpoints().iter() {
            samples.push(EndpointSample {
                upstream: Arc::clone(upstream.name()),
                endpoint: Arc::from(endpoint.name()),
                in_flight: u64::from(endpoint.in_flight()),
                ejected: endpoint.is_ejected(now),
                failures: endpoint.failures_total(),
                ejections: endpoint.ejections_total(),
            });
        }
    }
    samples
}

/// Loads the certificates of all sites.
///
/// # Errors
/// Every fault of every file, a line each.
pub(super) fn load_certificates(config: &Config) -> Result<Vec<tls::SiteCertificates>, StartError> {
    let mut faults = Vec::new();
    let mut sites = Vec::new();
    for site in &config.sites {
        match tls::SiteCertificates::load(site) {
            Ok(certificates) => sites.push(certificates),
            Err(errors) => faults.extend(errors.iter().map(|(_, error)| error.to_string())),
        }
    }
    if !faults.is_empty() {
        // Without a fault here, the snapshot's build finds those.
        faults.extend(upstream_tls_faults(config).iter().map(ToString::to_string));
        return Err(StartError::Certificates(faults.join("\n")));
    }
    Ok(sites)
}
