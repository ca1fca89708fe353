//! Endpoints that are found while the process runs.
//!
//! Owns what each source last found, and when it is looked at again. A [`Source`] only looks; what it found goes to the
//! upstreams here, and what was last found stays while it finds nothing. Never on a request's way: a request sees the
//! endpoints that its upstream has.

mod dns;
mod file;
mod known;
mod refresh;
mod resolver;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, sleep_until, timeout_at};

use self::dns::Dns;
use self::file::EndpointsFile;
use self::known::Known;
use self::refresh::Refresh;
use self::resolver::Resolver;
use crate::config::{self, EndpointSource};
use crate::metrics::DiscoverySample;
use crate::upstream::{Found, Upstream};

/// A place where endpoints are found.
trait Source: Send {
    /// Looks now. `before` is what it last found.
    fn look(&mut self, before: &[Found]) -> impl Future<Output = Result<Answer, LookError>> + Send;

    /// Ready when there may be news before the answer is over. For ever waiting if only looking can tell.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
}

/// What a source found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    found: Vec<Found>,
    /// How long it counts; `None` until the source says that it has changed.
    ttl: Option<Duration>,
    /// What of it couldn't be had, so that what was there before stands in.
    flaw: Option<LookError>,
}

/// Why a source found nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum LookError {
    #[error("there is no such name")]
    NoSuchName,
    #[error("the name has no address")]
    NoAddress,
    #[error("the name has no usable SRV record")]
    NoService,
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    Resolver(String),
    #[error("{0}")]
    File(String),
}

/// All sources of a gate, over its reloads.
#[derive(Default)]
pub struct Discovery {
    known: Mutex<BTreeMap<EndpointSource, Arc<Known>>>,
    /// As it was when [`Discovery::run`] last began.
    resolver: Mutex<Option<config::Resolver>>,
}

impl Discovery {
    /// [`hand_out`](Discovery::hand_out), and looks for the rest, at most until `patience` is over. What is not found by
    /// then is left to [`Discovery::run`].
    pub async fn first(&self, upstreams: &[Arc<Upstream>], resolver: &config::Resolver, patience: Duration) {
        let until = Instant::now() + patience;
        let resolver = Arc::new(Resolver::new(resolver));
        let refresh = Refresh::new(resolver.config());
        let look = async |(source, users): (EndpointSource, Vec<Arc<Upstream>>)| {
            let known = self.known(&source);
            if known.hand_out(&users) {
                return;
            }
            let looked = match Kind::of(&source, &resolver) {
                Kind::Dns(mut dns) => timeout_at(until, dns.look(&[])).await,
                Kind::File(mut file) => timeout_at(until, file.look(&[])).await,
            };
            known.note(looked.unwrap_or(Err(LookError::TimedOut)), &refresh, &users);
        };
        stream::iter(users(upstreams)).for_each_concurrent(None, look).await;
    }

    /// Looks at every source of the upstreams, again and again, until it is dropped. It serves just these upstreams: on a
    /// reload, drop it and run it anew. What is known stays known.
    pub async fn run(&self, upstreams: &[Arc<Upstream>], resolver: &config::Resolver) {
        let users = users(upstreams);
        self.lock().retain(|source, _| users.contains_key(source));
        let before = self.resolver.lock().unwrap_or_else(PoisonError::into_inner).replace(resolver.clone());
        let is_new = before.is_some_and(|before| before != *resolver);
        let resolver = Arc::new(Resolver::new(resolver));
        let refresh = Refresh::new(resolver.config());
        let drive = async |(source, users): (EndpointSource, Vec<Arc<Upstream>>)| {
            let known = self.known(&source);
            known.begin(is_new);
            match Kind::of(&source, &resolver) {
                Kind::Dns(dns) => drive(dns, &known, &refresh, &users).await,
                Kind::File(file) => drive(file, &known, &refresh, &users).await,
            }
        };
        stream::iter(users).for_each_concurrent(None, drive).await;
    }

    /// Gives the upstreams what is known already. False if that is nothing of some source.
    pub fn hand_out(&self, upstreams: &[Arc<Upstream>]) -> bool {
        users(upstreams).iter().fold(true, |all, (source, users)| self.known(source).hand_out(users) && all)
    }

    /// What a scrape shows of every source.
    pub fn samples(&self) -> Vec<DiscoverySample> {
        self.lock().values().map(|known| known.sample()).collect()
    }

    fn known(&self, source: &EndpointSource) -> Arc<Known> {
        Arc::clone(self.lock().entry(source.clone()).or_insert_with(|| Arc::new(Known::new(source.clone()))))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EndpointSource, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is behind a source.
enum Kind {
    Dns(Dns),
    File(EndpointsFile),
}

impl Kind {
    fn of(source: &EndpointSource, resolver: &Arc<Resolver>) -> Self {
        match source {
            EndpointSource::Addresses { host, port } => {
                Self::Dns(Dns::addresses(Arc::clone(resolver), host.clone(), *port))
            }
            EndpointSource::Service { name } => Self::Dns(Dns::service(Arc::clone(resolver), name.clone())),
            EndpointSource::File(path) => Self::File(EndpointsFile::new(path.clone())),
        }
    }
}

/// Looks whenever the answer is over or the source says so.
async fn drive<S: Source>(mut source: S, known: &Known, refresh: &Refresh, users: &[Arc<Upstream>]) {
    known.hand_out(users);
    loop {
        match known.due() {
            Some(due) => tokio::select! {
                () = sleep_until(due) => {}
                () = source.changed() => {}
            },
            None => source.changed().await,
        }
        let outcome = source.look(&known.found()).await;
        known.note(outcome, refresh, users);
    }
}

/// Every source, with the upstreams that use it.
fn users(upstreams: &[Arc<Upstream>]) -> BTreeMap<EndpointSource, Vec<Arc<Upstream>>> {
    let mut users: BTreeMap<EndpointSource, Vec<Arc<Upstream>>> = BTreeMap::new();
    for upstream in upstreams {
        for source in upstream.config().sources() {
            users.entry(source).or_default().push(Arc::clone(upstream));
        }
    }
    users
}

/// When a file was last changed, as far as its metadata tells: whichever file that is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    number: u64,
    size: u64,
    /// Seconds and nanoseconds of the last change of its contents, and of itself.
    times: [i64; 4],
}

impl Stamp {
    /// `None` if there is no such file, or none that may be asked about.
    fn of(path: &std::path::Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let of = |meta: std::fs::Metadata| Self {
            device: meta.dev(),
            number: meta.ino(),
            size: meta.size(),
            times: [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()],
        };
        let found: io::Result<_> = std::fs::metadata(path).map(of);
        found.ok()
    }
}
