//! What a configuration needs of the machine, and what a scrape reads of the live state.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;

use super::instance::StartError;
use crate::acme::wanted::Wanted;
use crate::bind_error::explain_bind_error;
use crate::config::{Address, Config};
use crate::listener::socket::{Binding, Bound, bind};
use crate::listener::unix::SocketFile;
use crate::metrics::EndpointSample;
use crate::snapshot::{Snapshot, upstream_tls_faults};
use crate::tls;
use crate::worker::Opening;

/// Binds an address once for each worker.
///
/// # Errors
/// One clear line, with the holder of the address where it is known.
pub(super) fn bind_listener(address: &Address, binding: Binding, count: usize) -> Result<Bound, StartError> {
    bind(address, binding, count).map_err(|error| StartError::Bind(explain_bind_error(address, &error)))
}

/// A listener's address with what serves it: sockets for the workers that don't have one yet, and TLS.
pub(super) struct Listening {
    configured: Address,
    bound: Bound,
    /// Permissions of a Unix socket's file.
    mode: u32,
    tls: Option<Arc<tls::Server>>,
}

impl Listening {
    pub(super) fn held(&self) -> Held {
        let Bound { address, file, .. } = &self.bound;
        Held { configured: self.configured.clone(), bound: address.clone(), file: file.clone() }
    }

    /// A file that was there before gets the permissions that are configured now.
    pub(super) fn set_mode(&self) {
        let Some(file) = &self.bound.file else { return };
        if let Err(error) = file.set_mode(self.mode) {
            tracing::warn!(%error, address = %self.configured, "the permissions of the socket's file stay as they were");
        }
    }

    /// One worker's share.
    pub(super) fn opening(&mut self) -> Opening {
        Opening { address: self.bound.address.clone(), socket: self.bound.sockets.pop(), tls: self.tls.clone() }
    }
}

/// An address that is served.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) configured: Address,
    pub(super) bound: Address,
    /// Of a Unix socket; the last holder's drop removes it.
    file: Option<Arc<SocketFile>>,
}

/// For HTTP, then for TCP, in the configuration's order. Binds what isn't among the `kept` addresses yet, and makes each
/// listener's TLS settings.
///
/// # Errors
/// The first listener that can't be served.
pub(super) fn listen(
    config: &Config,
    kept: &[Held],
    workers: usize,
    certificates: &Arc<tls::Store>,
    tickets: &Arc<tls::Tickets>,
) -> Result<Vec<Listening>, StartError> {
    let serve = |address: &Address, binding: Binding, tls: Option<Result<Arc<ServerConfig>, tls::TlsError>>| {
        let settings = tls.transpose().map_err(|error| StartError::Tls { address: address.clone(), error })?;
        let tls = settings.map(|settings| {
            let acme = config.acme.as_ref().map(|_| Arc::clone(certificates));
            Arc::new(tls::Server { settings, acme })
        });
        let bound = match kept.iter().find(|held| held.configured == *address) {
            Some(held) => Bound { address: held.bound.clone(), sockets: Vec::new(), file: held.file.clone() },
            None => bind_listener(address, binding, workers)?,
        };
        Ok(Listening { configured: address.clone(), bound, mode: binding.mode, tls })
    };
    let http = config.listeners.iter().map(|listener| {
        let settings = |tls| tls::server_config(tls, Arc::clone(certificates), tickets);
        let binding = Binding { backlog: listener.backlog, mode: listener.mode, tcp: listener.tcp };
        serve(&listener.address, binding, listener.tls.as_ref().map(settings))
    });
    let tcp = config.tcp.iter().map(|listener| {
        let settings = |tls| tls::tcp_server_config(tls, Arc::clone(certificates), tickets);
        let binding = Binding { backlog: listener.backlog, mode: listener.mode, tcp: listener.tcp };
        serve(&listener.address, binding, listener.tls.as_ref().map(settings))
    });
    http.chain(tcp).collect()
}

/// Source addresses that can't be had now. They may come later, with a failover, so that this is no error.
pub(super) fn warn_of_sources(config: &Config) {
    for (upstream, source) in config.upstreams.iter().flat_map(|u| u.bind.iter().map(move |source| (u, source))) {
        if let Err(error) = UdpSocket::bind((*source, 0)) {
            let upstream = &*upstream.name;
            tracing::warn!(upstream, %source, %error, "no connection can come from this address now");
        }
    }
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
pub(super) fn load_certificates(config: &Config, store: &tls::Store) -> Result<Vec<tls::SiteCertificates>, StartError> {
    let mut faults = Vec::new();
    let mut sites = Vec::new();
    for site in &config.sites {
        match tls::SiteCertificates::load(site) {
            Ok(mut certificates) => {
                certificates.slot = Wanted::of_site(site, &[]).map(|wanted| store.slot(&wanted.id));
                certificates.on_demand = site.acme.as_ref().is_some_and(|how| how.on_demand);
                sites.push(certificates);
            }
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
