//! Where connections go that are passed on as they are.

use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::metrics::{Metrics, TcpId};
use crate::route::Names;
use crate::upstream::Upstream;

/// A listener that passes TCP connections on.
pub struct CompiledTcp {
    /// The client's name has to be read from its ClientHello.
    pub reads_hello: bool,
    pub hello_timeout: Duration,
    pub idle_timeout: Duration,
    names: Names,
    /// By the place of their names.
    targets: Vec<TcpTarget>,
    default: Option<TcpTarget>,
}

/// Where connections go.
#[derive(Clone)]
pub struct TcpTarget {
    pub upstream: Arc<Upstream>,
    pub metric: TcpId,
}

impl CompiledTcp {
    pub(super) fn of(tcp: &config::TcpListener, upstreams: &[Arc<Upstream>], metrics: &Metrics) -> Self {
        let target = |index: usize| {
            let upstream = Arc::clone(upstreams.get(index)?);
            Some(TcpTarget { metric: metrics.tcp(upstream.name()), upstream })
        };
        let found = tcp.routes.iter().filter_map(|route| Some((target(route.upstream)?, &*route.hosts)));
        let (targets, hosts): (_, Vec<_>) = found.unzip();
        Self {
            reads_hello: tcp.tls.is_none() && !tcp.routes.is_empty(),
            hello_timeout: tcp.hello_timeout,
            idle_timeout: tcp.idle_timeout,
            names: Names::new(hosts.into_iter()),
            targets,
            default: tcp.upstream.and_then(target),
        }
    }

    /// Where a client goes that asks for this name.
    pub fn find(&self, name: Option<&str>) -> Option<&TcpTarget> {
        let named = name.and_then(|name| self.names.find(name)).and_then(|at| self.targets.get(at));
        named.or(self.default.as_ref())
    }
}
