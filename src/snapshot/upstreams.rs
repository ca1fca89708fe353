//! Upstreams, and how their endpoints are connected to: what a reload carries over of them.

use std::sync::Arc;

use super::Snapshot;
use crate::config::{self, Config};
use crate::tls::{self, ClientError, SystemRoots};
use crate::upstream::{Dial, Upstream};

/// Every fault of the files that TLS towards the upstreams needs.
pub fn upstream_tls_faults(config: &Config) -> Vec<ClientError> {
    let mut roots = SystemRoots::default();
    let dials = config.upstreams.iter().map(|upstream| compile_dial(upstream, None, &mut roots));
    dials.filter_map(Result::err).flatten().collect()
}

/// Those of the previous snapshot that nothing has changed about, and new ones that share its live state.
///
/// # Errors
/// Every fault of the files that TLS towards them needs.
pub(super) fn compile(config: &Config, previous: Option<&Snapshot>) -> Result<Vec<Arc<Upstream>>, Vec<ClientError>> {
    let mut roots = SystemRoots::default();
    let mut upstreams = Vec::with_capacity(config.upstreams.len());
    let mut faults = Vec::new();
    for config in &config.upstreams {
        let before = previous.and_then(|p| p.upstreams.iter().find(|u| *u.name() == config.name));
        match compile_dial(config, before, &mut roots) {
            Ok(dial) => upstreams.push(carry_upstream(config, before, dial)),
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(upstreams) } else { Err(faults) }
}

fn carry_upstream(config: &config::Upstream, before: Option<&Arc<Upstream>>, dial: Arc<Dial>) -> Arc<Upstream> {
    match before {
        Some(before) if before.config() == config && Arc::ptr_eq(before.dial(), &dial) => Arc::clone(before),
        before => Arc::new(Upstream::dialing(config, before.map(Arc::as_ref), dial)),
    }
}

/// How an upstream's endpoints are connected to: as before, sessions to resume among it, unless something has changed.
fn compile_dial(
    config: &config::Upstream,
    before: Option<&Arc<Upstream>>,
    roots: &mut SystemRoots,
) -> Result<Arc<Dial>, Vec<ClientError>> {
    let before = before.map(|before| before.dial());
    let Some(settings) = &config.tls else {
        let kept = before.filter(|dial| dial.suits(config, None)).map(Arc::clone);
        return Ok(kept.unwrap_or_else(|| Dial::plain(config)));
    };
    let protocol: &[u8] = match config.protocol {
        config::UpstreamProtocol::Http1 => b"http/1.1",
        config::UpstreamProtocol::Http2(_) => b"h2",
    };
    let client = tls::client(settings, protocol, roots)?;
    let kept = before.filter(|dial| dial.suits(config, Some(&client.digest))).map(Arc::clone);
    Ok(kept.unwrap_or_else(|| Dial::tls(config, client.config, client.digest, settings.server_name.as_deref())))
}
