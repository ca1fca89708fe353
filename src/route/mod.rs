//! Host, path, method and headers to a route. Pure: no I/O, no clock, no state.
//!
//! Owns the order in which sites and routes are tried, which is nginx's, and the form of a path that they are matched on
//! ([`path`]). Never looks at what a route does with its requests.

mod condition;
mod host;
pub mod path;
mod paths;
#[cfg(test)]
mod tests;

use crate::config;
use crate::http::head::RequestHead;
use crate::reason::Reason;

use condition::Condition;
use host::HostMap;
use paths::Paths;

/// A site's place in [`config::Config::sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteIndex(pub u32);

/// A route's place among the routes of all sites, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteIndex(pub u32);

/// Lists of names, as the sites have them.
#[derive(Debug)]
pub struct Names(HostMap);

impl Names {
    pub fn new<'a>(lists: impl Iterator<Item = &'a [config::HostPattern]>) -> Self {
        Self(HostMap::of(lists, None))
    }

    /// The place of the list that a name is in, by the same rules as [`Router::site`].
    pub fn find(&self, name: &str) -> Option<usize> {
        self.0.find(name.as_bytes()).map(|SiteIndex(at)| at as usize)
    }
}

/// All sites and routes, compiled for lookups that neither allocate nor slow down with their number.
#[derive(Debug)]
pub struct Router {
    hosts: HostMap,
    /// By site.
    paths: Vec<Paths>,
    /// By route.
    conditions: Vec<Option<Box<Condition>>>,
    /// By route: its site, and its place in [`config::Site::routes`].
    places: Vec<(SiteIndex, usize)>,
}

impl Router {
    /// # Errors
    /// A route's regex has bad syntax, or a site's regexes together are too big.
    pub fn compile(sites: &[config::Site]) -> Result<Self, regex::Error> {
        let mut router =
            Self { hosts: HostMap::new(sites), paths: Vec::new(), conditions: Vec::new(), places: Vec::new() };
        for (site, index) in sites.iter().zip((0..).map(SiteIndex)) {
            router.paths.push(Paths::compile(&site.routes, router.places.len() as u32)?);
            router.conditions.extend(site.routes.iter().map(Condition::new));
            router.places.extend((0..site.routes.len()).map(|place| (index, place)));
        }
        Ok(router)
    }

    /// The site of a host (without port, any case, one trailing dot ignored): the exact name, the longest leading
    /// wildcard, the longest trailing wildcard, the default site.
    pub fn site(&self, host: &[u8]) -> Option<SiteIndex> {
        self.hosts.find(host)
    }

    /// [`Router::find`] for who need not tell its errors apart.
    pub fn route(&self, site: SiteIndex, path: &[u8], head: &RequestHead) -> Option<RouteIndex> {
        self.find(site, path, head).ok()
    }

    /// The route of a request: the best match of its path whose conditions hold. Routes with one and the same path are
    /// tried in file order; where none of them holds, the next best path is.
    ///
    /// `path` is `head.path()` as [`path::normalize`] made it.
    ///
    /// # Errors
    /// [`Reason::NoRoute`]; [`Reason::BadPath`] for a path that other servers would read as another route's.
    pub fn find(&self, site: SiteIndex, path: &[u8], head: &RequestHead) -> Result<RouteIndex, Reason> {
        let paths = self.paths.get(site.0 as usize).ok_or(Reason::NoRoute)?;
        let condition = |route: RouteIndex| self.conditions[route.0 as usize].as_deref();
        let holds = |route| condition(route).is_none_or(|condition| condition.holds(head));
        let found = paths.find(path, holds);
        let raw = head.path();
        if path::has_readings(raw) {
            let mut other = Vec::with_capacity(raw.len());
            for reading in path::READINGS {
                path::read(raw, reading, &mut other).ok_or(Reason::BadPath)?;
                if paths.find(&other, holds) != found {
                    return Err(Reason::BadPath);
                }
            }
        }
        found.ok_or(Reason::NoRoute)
    }

    /// A route's site, and its place in [`config::Site::routes`].
    ///
    /// # Panics
    /// If the index is another router's.
    pub fn locate(&self, route: RouteIndex) -> (SiteIndex, usize) {
        self.places[route.0 as usize]
    }
}
