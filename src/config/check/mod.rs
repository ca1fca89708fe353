//! The file as written → [`Config`]: references, duplicates, what can't work, and what can hardly be meant.
//!
//! Every check goes on after a complaint. The [`Config`] that comes out is whole only if no complaint is an error.

mod acme;
mod balance;
mod endpoint;
mod headers;
mod listener;
mod names;
mod privileges;
mod resolver;
mod route;
mod site;
mod socket;
mod tcp;
mod tls;
mod upstream;
mod upstream_tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(super) use headers::{GUIDE, STRICT};
use names::Names;

use super::diagnostic::{Diagnostic, Place, Severity, Source, quote};
use super::file::{AccessLogFile, ConfigFile, EndpointFile, LimitFile};
use super::machine::{Machine, Nowhere};
use super::model;
use super::model::{AccessLog, Config, Endpoint, Limit, Log, LogOutput, Metrics};
use super::read::{At, Many, Named};
use super::value::{ByteSize, FilePath, LogFormatName, Network, Words};

/// What the checks ask of the world outside of the configuration.
pub(super) struct Outside<'a> {
    pub(super) machine: &'a dyn Machine,
    /// Reads a file that a body stands in.
    pub(super) read_body: &'a mut (dyn FnMut(&Path) -> Result<Vec<u8>, String> + 'a),
}

/// What the checks share.
pub(super) struct Checker<'a> {
    sources: &'a [Source],
    outside: Outside<'a>,
    complaints: Vec<Diagnostic>,
}

/// Checks a file with all that it includes, and adds to the complaints about how it is written.
pub(super) fn check<'a>(
    file: &ConfigFile,
    sources: &'a [Source],
    outside: Outside<'a>,
    complaints: &mut Vec<Diagnostic>,
) -> Config {
    let mut checker = Checker { sources, outside, complaints: std::mem::take(complaints) };
    let config = checker.config(file);
    *complaints = checker.complaints;
    config
}

/// Checks a list of endpoints that stands in a file of its own, and adds to the complaints.
pub(super) fn check_endpoints(
    list: &Many<EndpointFile>,
    sources: &[Source],
    complaints: &mut Vec<Diagnostic>,
) -> Vec<Endpoint> {
    let mut no_body = |_: &Path| Err(String::new());
    let outside = Outside { machine: &Nowhere, read_body: &mut no_body };
    let mut checker = Checker { sources, outside, complaints: std::mem::take(complaints) };
    let endpoints = checker.endpoint_list(list);
    *complaints = checker.complaints;
    endpoints
}

impl Checker<'_> {
    fn config(&mut self, file: &ConfigFile) -> Config {
        let mut upstream_names = Names::new("upstream", &file.upstream, self);
        let mut limit_names = Names::new("limit", &file.limit, self);
        let upstreams = self.upstreams(file);
        let limits = self.limits(&file.limit);
        let mut bound = BTreeMap::new();
        let listeners = self.listeners(file, &mut bound);
        let tcp = self.tcp(file, &mut bound, &mut upstream_names, &upstreams);
        let mut offered = self.acme_offered(file);
        let mut sites = self.sites(file, &mut upstream_names, &mut limit_names, offered.as_mut());
        let acme = self.acme(file, offered.as_ref());
        tls::guard_subject_headers(&listeners, &mut sites);
        self.trust_in(&file.trusted_proxies);
        if self.complaints.iter().all(|c| c.severity == Severity::Warning) {
            // After an error, what seems to be unused may be what the error is about.
            upstream_names.warn_of_unused(self);
            limit_names.warn_of_unused(self);
            self.warn_without_tls(file);
        }
        Config {
            workers: file.workers.0,
            max_connections: file.max_connections.size(),
            max_connections_per_client: file.max_connections_per_client.as_ref().and_then(|n| n.non_zero()),
            lame_duck: file.lame_duck.0,
            drain_timeout: file.drain_timeout.0,
            trusted_proxies: file.trusted_proxies.items.iter().map(|n| n.0).collect(),
            ticket_keys: self.ticket_keys(file),
            listeners,
            tcp,
            sites,
            upstreams,
            resolver: self.resolver(&file.resolver),
            limits,
            acme,
            metrics: file.metrics.0.as_ref().map(|m| Metrics { address: m.address.0 }),
            access_log: file.access_log.0.as_ref().map(|log| self.access_log(log)),
            log: Log { level: *file.log.level, json: *file.log.format == LogFormatName::Json },
            privileges: self.privileges(file),
        }
    }

    fn access_log(&mut self, file: &AccessLogFile) -> AccessLog {
        let place = file.output.place;
        let output = match &*file.output {
            LogOutput::File(path) => {
                let path = self.resolve(path, place);
                if let Err(why) = self.outside.machine.log_file(&path) {
                    self.error(format!("can't write {}", quote(&path.to_string_lossy())), place, why);
                }
                LogOutput::File(path)
            }
            stream => stream.clone(),
        };
        AccessLog { output, format: file.format.value.clone() }
    }

    fn limits(&mut self, limits: &Named<LimitFile>) -> Vec<Limit> {
        let mut checked = Vec::with_capacity(limits.0.len());
        for (name, limit) in &limits.0 {
            let Some(limit) = limit else { continue };
            if let Some(delay) = limit.delay.as_ref().filter(|delay| delay.0 >= limit.burst.0) {
                self.warn(format!("limit {} never delays a request", quote(name)), delay.place, "")
                    .help(format!("requests wait from `delay` up to `burst`, which is {}", limit.burst.0));
            }
            let Some(rate) = &limit.rate else { continue };
            checked.push(Limit {
                name: name.as_str().into(),
                key: limit.key.value.clone(),
                rate: rate.value,
                burst: limit.burst.0,
                delay: limit.delay.as_ref().map(|delay| delay.0),
                max_keys: limit.max_keys.size(),
                status: limit.status.0 as u16,
                dry_run: limit.dry_run.0,
            });
        }
        checked
    }

    fn trust_in(&mut self, networks: &Many<Network>) {
        let is_all = |network: &model::Network| matches!(network, model::Network::Ip(ip) if ip.prefix_len() == 0);
        for network in networks.items.iter().filter(|network| is_all(&network.0)) {
            self.warn("every client is trusted", network.place, "all addresses")
                .help("any client can then forge its address; name the proxies in front of Tidegate only");
        }
    }

    /// Adds an error, to be told more of.
    fn error(&mut self, title: impl Into<String>, place: Place, label: impl Into<String>) -> Told<'_> {
        self.tell(Diagnostic::error(title).at(place, label))
    }

    /// Adds a warning, to be told more of.
    fn warn(&mut self, title: impl Into<String>, place: Place, label: impl Into<String>) -> Told<'_> {
        self.tell(Diagnostic::warning(title).at(place, label))
    }

    fn tell(&mut self, diagnostic: Diagnostic) -> Told<'_> {
        Told(&mut self.complaints, diagnostic)
    }

    /// A path as seen from the file that names it.
    fn resolve(&self, path: &Path, place: Place) -> PathBuf {
        let directory = self.sources.get(place.source).and_then(|s| s.path.parent());
        directory.map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }

    /// A body that stands in place or in a file.
    fn body(&mut self, body: Option<&At<Words>>, file: Option<&At<FilePath>>) -> Option<Vec<u8>> {
        match (body, file) {
            (Some(body), None) => Some(body.0.clone().into_bytes()),
            (None, None) => None,
            (Some(body), Some(file)) => {
                self.error("there are two bodies", file.place, "and here")
                    .also(body.place, "here")
                    .help("keep `body` or `file`");
                None
            }
            (None, Some(file)) => {
                let path = self.resolve(&file.0, file.place);
                match (self.outside.read_body)(&path) {
                    Ok(bytes) => Some(bytes),
                    Err(why) => {
                        self.error(format!("can't read {}", quote(&path.to_string_lossy())), file.place, why);
                        None
                    }
                }
            }
        }
    }

    /// A buffer's size within bounds; outside of them, the nearer bound and a complaint.
    fn buffer(&mut self, size: &At<ByteSize>, min: usize, max: usize) -> usize {
        let bytes = size.bytes();
        if !(min..=max).contains(&bytes) {
            let label = format!("{} to {}", in_units(min), in_units(max));
            self.error(format!("{} is no useful size here", in_units(bytes)), size.place, label);
        }
        bytes.clamp(min, max)
    }
}

/// A complaint that is added when nothing more is told of it.
struct Told<'a>(&'a mut Vec<Diagnostic>, Diagnostic);

impl Told<'_> {
    fn help(mut self, help: impl Into<String>) -> Self {
        self.1.help = Some(help.into());
        self
    }

    fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.1 = self.1.clone().also(place, label);
        self
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.push(self.1.clone());
    }
}

/// 65536 → "64k".
fn in_units(bytes: usize) -> String {
    match bytes {
        0 => "0".to_owned(),
        b if b % (1 << 20) == 0 => format!("{}m", b >> 20),
        b if b % (1 << 10) == 0 => format!("{}k", b >> 10),
        b => b.to_string(),
    }
}
