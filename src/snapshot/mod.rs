//! The compiled configuration: `Config` and the previous snapshot's live state become what a request reads.
//!
//! Built off the request's way, replaced whole. Live state (in-flight marks, failures, limiter cells) is carried from the
//! previous snapshot by identity, so that a reload forgets nothing.

mod redirect;
mod tcp;
mod upstreams;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::config::{self, Config, CustomReply, HttpLimits};
use crate::filter::client::TrustedProxies;
use crate::filter::headers::HeaderRules;
use crate::filter::limit::Limiter;
use crate::metrics::{LimitId, Metrics, RouteId};
use crate::route::{RouteIndex, Router, SiteIndex};
use crate::tls::{self, ClientError};
use crate::upstream::Upstream;

pub use self::redirect::{Redirect, RedirectPart};
pub use self::tcp::{CompiledTcp, TcpTarget};
pub use self::upstreams::upstream_tls_faults;

/// One generation of the configuration.
pub struct Snapshot {
    pub config: Arc<Config>,
    pub router: Router,
    pub trusted: TrustedProxies,
    pub upstreams: Vec<Arc<Upstream>>,
    /// Some upstream's endpoints are told who the client is, and where it had connected to.
    pub announces: bool,
    /// Whose challenges are answered, if some sites get their certificates by ACME.
    pub certificates: Option<Arc<tls::Store>>,
    limiters: Vec<Arc<Limiter>>,
    routes: Vec<CompiledRoute>,
    sites: Vec<CompiledSite>,
    listeners: Vec<CompiledListener>,
    tcp: Vec<Arc<CompiledTcp>>,
}

/// A route as a request reads it: a cache line's half, since with many routes each request meets another.
pub struct CompiledRoute {
    pub name: Arc<str>,
    pub metric: RouteId,
    pub terms: Arc<RouteTerms>,
}

/// What a route does with its requests; routes that do the same share one.
pub struct RouteTerms {
    pub target: Target,
    pub limits: Vec<Arc<Limiter>>,
    pub limit_metrics: Vec<LimitId>,
    pub max_body_size: Option<u64>,
    pub request_rules: HeaderRules,
}

/// Where a route goes.
pub enum Target {
    Forward(Arc<Upstream>),
    Redirect(Redirect),
    Reply { status: u16, content_type: String, body: Arc<[u8]> },
}

/// A site as a reply reads it.
pub struct CompiledSite {
    pub name: Arc<str>,
    pub replies: Vec<CustomReply>,
    /// Its certificate is got by ACME.
    pub by_acme: bool,
    /// Sites with equal numbers answer for the same certificates.
    certificate_group: usize,
}

/// A listener as a request reads it.
pub struct CompiledListener {
    /// The request field that tells the subject of a client's certificate.
    pub subject_header: Option<String>,
    pub redirect: Option<Redirect>,
    pub http: HttpLimits,
    /// Rules of the listener alone, then of listener and site, then of listener, site and route.
    rules: HeaderRules,
    site_rules: Vec<HeaderRules>,
    route_rules: Vec<Option<Arc<HeaderRules>>>,
}

impl Snapshot {
    /// Compiles a checked configuration.
    ///
    /// # Errors
    /// What checking can't know: files for TLS towards upstreams; and a regex that the compiled router refuses.
    pub fn build(config: Arc<Config>, previous: Option<&Snapshot>, metrics: &Metrics) -> Result<Self, BuildError> {
        let router = Router::compile(&config.sites)?;
        let upstreams = upstreams::compile(&config, previous).map_err(BuildError::Certificates)?;
        let limiters: Vec<_> = config.limits.iter().map(|limit| carry_limiter(limit, previous)).collect();
        let mut terms = Recent::new();
        let routes = config.sites.iter().flat_map(|site| site.routes.iter().map(move |route| (site, route)));
        let routes = routes.map(|(site, route)| CompiledRoute {
            name: Arc::clone(&route.name),
            metric: metrics.route(&site.name, &route.name),
            terms: terms.find_or_make(route, do_the_same, || compile_terms(route, &upstreams, &limiters, metrics)),
        });
        let routes = routes.collect();
        let sites = config.sites.iter().map(|site| compile_site(site, &config.sites)).collect();
        let listeners = config.listeners.iter().map(|listener| compile_listener(listener, &config.sites)).collect();
        let tcp = config.tcp.iter().map(|tcp| Arc::new(CompiledTcp::of(tcp, &upstreams, metrics))).collect();
        let trusted = TrustedProxies::new(&config.trusted_proxies);
        let announces = config.upstreams.iter().any(|upstream| upstream.proxy_protocol.is_some());
        let certificates = None;
        Ok(Self {
            config,
            router,
            trusted,
            upstreams,
            announces,
            certificates,
            limiters,
            routes,
            sites,
            listeners,
            tcp,
        })
    }

    /// Has the challenges of CAs answered from this store.
    #[must_use]
    pub fn answering_challenges(mut self, certificates: &Arc<tls::Store>) -> Self {
        self.certificates = self.config.acme.as_ref().map(|_| Arc::clone(certificates));
        self
    }

    /// It serves from now on, in the place of `previous`: endpoints that are no longer there have left.
    pub fn supersede(&self, previous: &Snapshot) {
        let named: HashMap<_, _> = self.upstreams.iter().map(|upstream| (upstream.name(), upstream)).collect();
        for before in &previous.upstreams {
            match named.get(before.name()) {
                Some(same) if Arc::ptr_eq(same, before) => {}
                Some(after) => after.supersede(before),
                None => before.retire(),
            }
        }
    }

    pub fn route(&self, index: RouteIndex) -> Option<&CompiledRoute> {
        self.routes.get(index.0 as usize)
    }

    pub fn site(&self, index: SiteIndex) -> Option<&CompiledSite> {
        self.sites.get(index.0 as usize)
    }

    pub fn listener(&self, index: usize) -> Option<&CompiledListener> {
        self.listeners.get(index)
    }

    pub fn tcp(&self, index: usize) -> Option<&Arc<CompiledTcp>> {
        self.tcp.get(index)
    }

    pub fn http_limits(&self, listener: usize) -> &HttpLimits {
        static DEFAULT: std::sync::LazyLock<HttpLimits> = std::sync::LazyLock::new(HttpLimits::default);
        self.listeners.get(listener).map_or(&DEFAULT, |listener| &listener.http)
    }

    /// The response rules for how far a request got.
    pub fn response_rules(&self, listener: usize, site: Option<SiteIndex>, route: Option<RouteIndex>) -> &HeaderRules {
        let Some(listener) = self.listeners.get(listener) else { return HeaderRules::none() };
        if let Some(Some(rules)) = route.and_then(|route| listener.route_rules.get(route.0 as usize)) {
            return rules;
        }
        site.and_then(|site| listener.site_rules.get(site.0 as usize)).unwrap_or(&listener.rules)
    }

    /// The rules for the request on its way to the endpoint.
    pub fn request_rules(&self, route: Option<RouteIndex>) -> &HeaderRules {
        match route.and_then(|route| self.route(route)) {
            Some(route) => &route.terms.request_rules,
            None => HeaderRules::none(),
        }
    }

    /// Whether two sites answer for the same certificates.
    pub fn share_certificate(&self, a: Option<SiteIndex>, b: Option<SiteIndex>) -> bool {
        match (a.and_then(|a| self.site(a)), b.and_then(|b| self.site(b))) {
            (Some(a), Some(b)) => a.certificate_group == b.certificate_group,
            // A name of no site got the default certificate, whose site is then the only one it may ask for.
            (None, Some(b)) => b.certificate_group == self.default_group(),
            _ => false,
        }
    }

    fn default_group(&self) -> usize {
        let default = self.config.sites.iter().position(|site| site.default && site.has_certificate());
        let first = || self.config.sites.iter().position(config::Site::has_certificate);
        default.or_else(first).and_then(|at| self.sites.get(at)).map_or(usize::MAX, |site| site.certificate_group)
    }
}

/// Why a checked configuration can't be compiled.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the routes can't be compiled: {0}")]
    Routes(#[from] regex::Error),
    /// Every fault of every file.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Certificates(Vec<ClientError>),
}

fn carry_limiter(config: &config::Limit, previous: Option<&Snapshot>) -> Arc<Limiter> {
    let before = previous.and_then(|p| p.limiters.iter().find(|l| *l.name() == config.name));
    Arc::new(before.and_then(|before| Limiter::carry_over(config, before)).unwrap_or_else(|| Limiter::new(config)))
}

/// Whether two routes differ at most in what they match and how they are called.
fn do_the_same(one: &&config::Route, other: &&config::Route) -> bool {
    let config::Route {
        name: _,
        path: _,
        methods: _,
        headers: _,
        response_headers: _,
        action,
        limits,
        max_body_size,
        request_headers,
    } = one;
    *action == other.action
        && *limits == other.limits
        && *max_body_size == other.max_body_size
        && *request_headers == other.request_headers
}

fn compile_terms(
    route: &config::Route,
    upstreams: &[Arc<Upstream>],
    limiters: &[Arc<Limiter>],
    metrics: &Metrics,
) -> RouteTerms {
    let limits: Vec<_> = route.limits.iter().filter_map(|&index| limiters.get(index).cloned()).collect();
    RouteTerms {
        target: compile_target(&route.action, upstreams),
        limit_metrics: limits.iter().map(|limit| metrics.limit(limit.name())).collect(),
        limits,
        max_body_size: route.max_body_size,
        request_rules: HeaderRules::compile(&[&route.request_headers]),
    }
}

fn compile_target(action: &config::Action, upstreams: &[Arc<Upstream>]) -> Target {
    match action {
        config::Action::Forward { upstream } => match upstreams.get(*upstream) {
            Some(upstream) => Target::Forward(Arc::clone(upstream)),
            None => Target::Reply { status: 502, content_type: String::new(), body: Arc::from([]) },
        },
        config::Action::Redirect { status, to } => Target::Redirect(Redirect::to(*status, to)),
        config::Action::Reply { status, content_type, body } => {
            Target::Reply { status: *status, content_type: content_type.clone(), body: Arc::clone(body) }
        }
    }
}

fn compile_site(site: &config::Site, all: &[config::Site]) -> CompiledSite {
    // A certificate that is got by ACME is the site's alone.
    let group = match &site.acme {
        Some(_) => all.iter().position(|other| other.name == site.name),
        None => all.iter().position(|other| other.certificates == site.certificates && other.acme.is_none()),
    };
    CompiledSite {
        name: Arc::clone(&site.name),
        replies: site.replies.clone(),
        by_acme: site.acme.is_some(),
        certificate_group: group.unwrap_or(usize::MAX),
    }
}

fn compile_listener(listener: &config::Listener, sites: &[config::Site]) -> CompiledListener {
    let own = &listener.response_headers[..];
    let redirect = listener.redirect_https.map(|https| {
        let port = if https.port == 443 { String::new() } else { format!(":{}", https.port) };
        Redirect::to(https.status, &format!("https://{{host}}{port}{{uri}}"))
    });
    let mut recent = Recent::new();
    let route_rules = sites.iter().flat_map(|site| site.routes.iter().map(move |route| (site, route)));
    let route_rules = route_rules.map(|(site, route)| {
        let layers = [own, &site.response_headers, &route.response_headers];
        let compile = || HeaderRules::compile(&layers);
        (!route.response_headers.is_empty()).then(|| recent.find_or_make(layers, PartialEq::eq, compile))
    });
    let client_auth = listener.tls.as_ref().and_then(|tls| tls.client_auth.as_ref());
    CompiledListener {
        subject_header: client_auth.and_then(|certificate| certificate.subject_header.clone()),
        redirect,
        http: listener.http.clone(),
        rules: HeaderRules::compile(&[own]),
        site_rules: sites.iter().map(|site| HeaderRules::compile(&[own, &site.response_headers])).collect(),
        route_rules: route_rules.collect(),
    }
}

/// What was made lately of what, so that equal ones share it. Bounded: a file may have ten thousand different routes.
struct Recent<K, V> {
    made: VecDeque<(K, Arc<V>)>,
}

impl<K, V> Recent<K, V> {
    const MOST: usize = 32;

    fn new() -> Self {
        Self { made: VecDeque::with_capacity(Self::MOST) }
    }

    fn find_or_make(&mut self, key: K, equal: impl Fn(&K, &K) -> bool, make: impl FnOnce() -> V) -> Arc<V> {
        if let Some((_, found)) = self.made.iter().find(|(other, _)| equal(other, &key)) {
            return Arc::clone(found);
        }
        self.made.truncate(Self::MOST - 1);
        let new = Arc::new(make());
        self.made.push_front((key, Arc::clone(&new)));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_are_made_once_and_only_the_latest_are_kept() {
        let mut recent = Recent::new();
        let mut made = |key: usize| recent.find_or_make(key, PartialEq::eq, || key);
        let first = made(0);
        assert!(Arc::ptr_eq(&first, &made(0)));
        for key in 1..=Recent::<usize, usize>::MOST {
            assert_eq!(*made(key), key);
        }
        assert!(!Arc::ptr_eq(&first, &made(0)));
    }
}
