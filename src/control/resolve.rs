//! Names of endpoints: resolved at start, and again until they are.
//!
//! Through the system's resolver, so `/etc/hosts` and search domains hold. A name that doesn't resolve is no reason not
//! to start: its endpoints appear when it does. One warning when that begins, one line when it ends.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use crate::upstream::Upstream;

/// Looks every unresolved name up, at most until `deadline` from now. What has no address by then stays unresolved, for
/// [`retry_unresolved`].
pub async fn resolve_all(upstreams: &[Arc<Upstream>], deadline: Duration) {
    resolve_all_by(upstreams, deadline, system_lookup).await;
}

/// Looks unresolved names up again, each after 1 s, then 2, 4 … 60 s (a random fifth less), and ends when all are
/// resolved. It serves just these upstreams: on a reload, drop it and start another.
pub async fn retry_unresolved(upstreams: &[Arc<Upstream>]) {
    retry_unresolved_by(upstreams, system_lookup).await;
}

async fn resolve_all_by<L: Lookup>(upstreams: &[Arc<Upstream>], deadline: Duration, lookup: L) {
    let start = tokio::time::Instant::now();
    let resolve = async |(upstream, name): (Arc<Upstream>, String)| {
        let left = deadline.saturating_sub(start.elapsed());
        let found = match tokio::time::timeout(left, lookup(name.clone())).await {
            Ok(found) => non_empty(found),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        match found {
            Ok(addresses) => upstream.set_addresses(&name, &addresses),
            Err(error) => {
                let upstream = &**upstream.name();
                tracing::warn!(upstream, name, %error, "name does not resolve; its endpoints are missing until it does");
            }
        }
    };
    stream::iter(unresolved(upstreams)).for_each_concurrent(CONCURRENT_LOOKUPS, resolve).await;
}

async fn retry_unresolved_by<L: Lookup>(upstreams: &[Arc<Upstream>], lookup: L) {
    let retry = async |(upstream, name): (Arc<Upstream>, String)| {
        let addresses = look_up_until_found(&name, &lookup).await;
        upstream.set_addresses(&name, &addresses);
        tracing::info!(upstream = &**upstream.name(), name, addresses = addresses.len(), "name resolves");
    };
    stream::iter(unresolved(upstreams)).for_each_concurrent(None, retry).await;
}

async fn look_up_until_found(name: &str, lookup: &impl Lookup) -> Vec<SocketAddr> {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(less_a_random_fifth(pause)).await;
        match tokio::time::timeout(LOOKUP_TIMEOUT, lookup(name.to_owned())).await {
            Ok(found) => match non_empty(found) {
                Ok(addresses) => return addresses,
                Err(error) => tracing::debug!(name, %error, "name still does not resolve"),
            },
            Err(_) => tracing::debug!(name, "name still does not resolve: no answer in time"),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How a name gets its addresses: `host:port` in, addresses out.
trait Lookup: AsyncFn(String) -> io::Result<Vec<SocketAddr>> {}

impl<L: AsyncFn(String) -> io::Result<Vec<SocketAddr>>> Lookup for L {}

async fn system_lookup(name: String) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(name).await?.collect())
}

fn non_empty(found: io::Result<Vec<SocketAddr>>) -> io::Result<Vec<SocketAddr>> {
    found.and_then(|addresses| match addresses.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        false => Ok(addresses),
    })
}

fn unresolved(upstreams: &[Arc<Upstream>]) -> Vec<(Arc<Upstream>, String)> {
    let names = |upstream: &Arc<Upstream>| -> Vec<_> {
        upstream.unresolved().map(|name| (Arc::clone(upstream), name.to_owned())).collect()
    };
    upstreams.iter().flat_map(names).collect()
}

/// So that many instances that started together don't ask together. The standard library's hash seeds are random
/// enough for that.
fn less_a_random_fifth(pause: Duration) -> Duration {
    let random = (RandomState::new().hash_one(()) >> 32) as f64 / f64::from(u32::MAX);
    pause.mul_f64(1.0 - random / 5.0)
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// For one lookup after the start.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The system's resolver takes a thread for each.
const CONCURRENT_LOOKUPS: usize = 32;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::num::NonZeroU32;

    use tokio::time::Instant;

    use super::*;
    use crate::config;

    fn upstream(names: &[&str]) -> Arc<Upstream> {
        let endpoint = |name: &&str| config::Endpoint {
            address: (*name).to_owned(),
            weight: NonZeroU32::MIN,
            max_conns: None,
            backup: false,
            down: false,
            zone: None,
            source: None,
        };
        let on = config::RetryOn {
            error: true,
            timeout: true,
            invalid_header: false,
            statuses: Vec::new(),
            non_idempotent: false,
        };
        Arc::new(Upstream::new(
            &config::Upstream {
                name: "backend".into(),
                policy: config::Policy::LeastConn,
                slow_start: None,
                sticky: None,
                locality: None,
                subset: None,
                endpoints: names.iter().map(endpoint).collect(),
                endpoints_file: None,
                max_endpoints: 1000,
                ejection: config::Ejection { max_fails: 1, fail_timeout: Duration::from_secs(10), min_available: 0.5 },
                retry: config::Retry { on, tries: None, timeout: None, budget: None, max_replay_bytes: 0 },
                timeouts: config::UpstreamTimeouts::default(),
                protocol: config::UpstreamProtocol::Http1,
                tls: None,
                idle_connections: 0,
                splice: false,
                bind: Vec::new(),
                tcp: config::TcpOptions::default(),
                proxy_protocol: None,
                host: config::UpstreamHost::Request,
                max_head_bytes: 1024,
                max_fields: 10,
            },
            None,
        ))
    }

    fn answer() -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::from(([10, 0, 0, 1], 80))])
    }

    fn no_such_name() -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn unresolved_names(upstream: &Upstream) -> Vec<String> {
        upstream.unresolved().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn names_resolve_through_the_system_at_start() {
        let upstream = upstream(&["localhost:8052", "10.0.0.1:80"]);
        resolve_all(&[Arc::clone(&upstream)], Duration::from_secs(10)).await;
        let endpoints = upstream.endpoints();
        assert!(endpoints.len() >= 2, "{endpoints:?}");
        let address = endpoints[0].address().ip().unwrap();
        assert!(address.ip().is_loopback() && address.port() == 8052);
        assert_eq!(endpoints[0].configured(), "localhost:8052");
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_looked_up_in_parallel() {
        let upstream = upstream(&["a:1", "b:1", "c:1"]);
        let start = Instant::now();
        let slow = async |_| {
            tokio::time::sleep(Duration::from_secs(2)).await;
            answer()
        };
        resolve_all_by(&[Arc::clone(&upstream)], Duration::from_secs(5), slow).await;
        assert_eq!(start.elapsed().as_secs(), 2);
        assert!(unresolved_names(&upstream).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_start_waits_no_longer_than_its_deadline_and_keeps_what_it_has() {
        let upstream = upstream(&["good:1", "stuck:1", "empty:1", "bad:1"]);
        let start = Instant::now();
        let lookup = async |name: String| match &*name {
            "good:1" => answer(),
            "empty:1" => Ok(Vec::new()),
            "bad:1" => no_such_name(),
            _ => std::future::pending().await,
        };
        resolve_all_by(&[Arc::clone(&upstream)], Duration::from_secs(5), lookup).await;
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(unresolved_names(&upstream), ["stuck:1", "empty:1", "bad:1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_retried_with_doubling_pauses_until_it_resolves() {
        let upstream = upstream(&["a:1"]);
        let (start, asked) = (Instant::now(), RefCell::new(Vec::new()));
        let lookup = async |_| {
            asked.borrow_mut().push(start.elapsed());
            if asked.borrow().len() < 9 { no_such_name() } else { answer() }
        };
        retry_unresolved_by(&[Arc::clone(&upstream)], lookup).await;
        assert!(unresolved_names(&upstream).is_empty());
        let mut last = Duration::ZERO;
        for (at, longest) in asked.into_inner().into_iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]) {
            let pause = (at - last).as_secs_f64();
            assert!((longest * 0.8 - 0.01..=longest + 0.01).contains(&pause), "{pause} of {longest}");
            last = at;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_lookup_keeps_no_other_name_from_resolving() {
        let upstream = upstream(&["stuck:1", "good:1"]);
        let lookup = async |name: String| match &*name {
            "good:1" => answer(),
            _ => std::future::pending().await,
        };
        let upstreams = [Arc::clone(&upstream)];
        let retrying = retry_unresolved_by(&upstreams, lookup);
        assert!(tokio::time::timeout(Duration::from_secs(3600), retrying).await.is_err());
        assert_eq!(unresolved_names(&upstream), ["stuck:1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_everything_resolved_there_is_nothing_to_wait_for() {
        let start = Instant::now();
        let upstreams = [upstream(&["10.0.0.1:80"])];
        retry_unresolved(&upstreams).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[test]
    fn pauses_differ_by_up_to_a_fifth() {
        let pauses: Vec<_> = (0..100).map(|_| less_a_random_fifth(Duration::from_secs(10))).collect();
        assert!(pauses.iter().all(|pause| (8.0..=10.0).contains(&pause.as_secs_f64())));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }

    #[test]
    fn services_on_any_runtime_can_run_both() {
        fn is_send(_: impl Send) {}
        is_send(resolve_all(&[], Duration::ZERO));
        is_send(retry_unresolved(&[]));
    }
}
