//! How much memory a configuration may come to use: a rough upper bound, told before it is needed.

use super::model::{Config, UpstreamProtocol};

/// A part of the worst case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryShare {
    /// Whose it is, and how it comes about: "limit api: 1048576 keys of 16 B".
    pub what: String,
    pub bytes: u64,
}

/// The worst case, part by part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorstCase {
    pub shares: Vec<MemoryShare>,
}

impl WorstCase {
    /// All shares together, in bytes.
    pub fn total(&self) -> u64 {
        self.shares.iter().fold(0, |sum, share| sum.saturating_add(share.bytes))
    }
}

/// What a configuration may use at worst, when every client is as costly as it is allowed to be.
///
/// It assumes that `max_connections` clients are connected at once and all have a request in flight, over HTTP/2 where a
/// listener speaks it, with as many streams as it may have; that each request keeps the largest body for a replay; that every limit is full; and that each
/// worker (one a core, unless configured) keeps all the idle connections to every endpoint that it may. It leaves out
/// what doesn't grow with load: the program itself, routes, certificates, log buffers and metrics.
pub fn worst_case_memory(config: &Config) -> WorstCase {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let workers = config.workers.map_or(cores, |n| n.get()) as u64;
    let connections = config.max_connections as u64;
    let http2 = config.listeners.iter().filter(|l| l.h2c || l.tls.as_ref().is_some_and(|tls| tls.http2));
    let streams = http2.map(|l| u64::from(l.http.max_streams)).max();
    let requests = connections.saturating_mul(streams.unwrap_or(1));
    let clients = match streams {
        None => format!("clients: {connections} HTTP/1 connections of {} KiB", REQUEST >> 10),
        Some(streams) => format!(
            "clients: {connections} HTTP/2 connections of {} KiB and {streams} streams of {} KiB",
            HTTP2_CONNECTION >> 10,
            REQUEST >> 10
        ),
    };
    let windows = if streams.is_some() { connections.saturating_mul(HTTP2_CONNECTION) } else { 0 };
    let mut shares =
        vec![MemoryShare { what: clients, bytes: windows.saturating_add(requests.saturating_mul(REQUEST)) }];
    let replay = config.upstreams.iter().filter(|u| u.retry.tries.is_none_or(|tries| tries.get() > 1));
    let replay = replay.map(|u| u.retry.max_replay_bytes as u64).max().unwrap_or(0);
    if replay > 0 {
        shares.push(MemoryShare {
            what: format!("retries: {requests} request bodies of {} KiB", replay.div_ceil(1 << 10)),
            bytes: requests.saturating_mul(replay),
        });
    }
    for upstream in &config.upstreams {
        let found = if upstream.sources().is_empty() { 0 } else { upstream.max_endpoints as u64 };
        let idle = workers * (upstream.endpoints.len() as u64 + found) * upstream.idle_connections as u64;
        shares.push(MemoryShare {
            what: format!("upstream {}: {idle} idle connections of {} KiB", upstream.name, IDLE_CONNECTION >> 10),
            bytes: idle.saturating_mul(IDLE_CONNECTION),
        });
    }
    for upstream in &config.upstreams {
        let UpstreamProtocol::Http2(http2) = upstream.protocol else { continue };
        // Each endpoint may send as much ahead on each stream; streams belong to requests in flight.
        let streams = requests.max(http2.max_streams as u64);
        shares.push(MemoryShare {
            what: format!("upstream {}: {streams} HTTP/2 streams of {} KiB", upstream.name, HTTP2_STREAM >> 10),
            bytes: streams.saturating_mul(HTTP2_STREAM),
        });
    }
    for limit in &config.limits {
        shares.push(MemoryShare {
            what: format!("limit {}: {} keys of {LIMIT_KEY} B", limit.name, limit.max_keys),
            bytes: (limit.max_keys as u64).saturating_mul(LIMIT_KEY),
        });
    }
    if config.upstreams.iter().any(|upstream| upstream.splice) || config.tcp.iter().any(|tcp| tcp.tls.is_none()) {
        shares.push(MemoryShare {
            what: format!("splice: {workers} times {SPLICE_PIPES} pipes of {} KiB", SPLICE_PIPE >> 10),
            bytes: workers * SPLICE_PIPES * SPLICE_PIPE,
        });
    }
    shares.push(MemoryShare {
        what: format!("workers: {workers} threads of {} MiB", WORKER >> 20),
        bytes: workers * WORKER,
    });
    WorstCase { shares }
}

/// A request in flight, on HTTP/1 with its connection: heads, relay buffers both ways, what waits to be sent.
const REQUEST: u64 = 64 << 10;

/// An HTTP/2 connection beside its requests: what it has sent ahead, what waits for it, tables.
const HTTP2_CONNECTION: u64 = 256 << 10;

/// What an endpoint may send ahead on one HTTP/2 stream, and what may wait for it.
const HTTP2_STREAM: u64 = 128 << 10;

/// A connection without a request.
const IDLE_CONNECTION: u64 = 2 << 10;

/// A slot of a limiter's store.
const LIMIT_KEY: u64 = 16;

/// A thread's stack, runtime, buffers and metric cells.
const WORKER: u64 = 4 << 20;

/// Pipes of a worker that splices, and what each holds at most.
const SPLICE_PIPES: u64 = 64;
const SPLICE_PIPE: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::super::{Listener, Site, Tls, Upstream};
    use super::*;

    #[test]
    fn the_worst_case_adds_clients_retries_idle_connections_and_keys() {
        let mut config = Config::empty();
        config.workers = std::num::NonZeroUsize::new(2);
        config.max_connections = 1000;
        config.listeners = vec![Listener::plain(([127, 0, 0, 1], 80).into())];
        config.upstreams = vec![Upstream::to("a", ["127.0.0.1:1", "127.0.0.1:2"])];
        config.sites = vec![Site::any().forward_to(0)];
        let plain = worst_case_memory(&config);
        let bytes: Vec<u64> = plain.shares.iter().map(|s| s.bytes).collect();
        assert_eq!(bytes, [1000 * (64 << 10), 1000 * (64 << 10), 2 * 2 * 256 * 2048, 2 * (4 << 20)]);
        config.listeners[0].tls = Some(Tls::default());
        config.listeners[0].http.max_streams = 10;
        let tls: Vec<u64> = worst_case_memory(&config).shares.iter().map(|s| s.bytes).collect();
        assert_eq!(tls[..2], [1000 * ((256 << 10) + 10 * (64 << 10)), 10 * 1000 * (64 << 10)]);
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let mut config = Config::empty();
        config.max_connections = usize::MAX;
        assert!(worst_case_memory(&config).total() > 0);
    }
}
