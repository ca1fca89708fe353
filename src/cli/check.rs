//! `tidegate check`: every error of a file in one go, or what serving it would take.

use super::config_path::ConfigPath;
use super::{FAILED, text};
use crate::acme::wanted::Wanted;
use crate::config::{self, Action, Config, EndpointSource, Site, SiteAcme, UpstreamProtocol};

/// Prints `ok` with a summary, or every error of the file and of what it names.
pub(super) fn check(config: &ConfigPath) -> u8 {
    let Some(loaded) = config.load_as_user() else { return FAILED };
    text::print(format!("ok: {}\n{}", config.path().display(), summarize(&loaded.config)).as_bytes())
}

/// What the file sets up, a line a kind, and the memory it may take at worst.
fn summarize(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| text.push_str(&format!("  {what:<10} {value}\n"));
    for listener in &config.listeners {
        let kind = match (&listener.tls, listener.redirect_https) {
            (Some(tls), _) if tls.http2 => "TLS, HTTP/2 and HTTP/1.1",
            (Some(_), _) => "TLS, HTTP/1.1",
            (None, Some(_)) => "plain, redirects to https",
            (None, None) if listener.h2c => "plain, HTTP/2 and HTTP/1.1",
            (None, None) => "plain, HTTP/1.1",
        };
        line("listener", format!("{} ({kind})", listener.address));
    }
    for tcp in &config.tcp {
        let kind = match (&tcp.tls, tcp.routes.is_empty()) {
            (Some(_), _) => "TCP, TLS ends here",
            (None, false) => "TCP, TLS passed on by name",
            (None, true) => "TCP",
        };
        line("listener", format!("{} ({kind})", tcp.address));
    }
    let routes: usize = config.sites.iter().map(|site| site.routes.len()).sum();
    line("sites", format!("{} with {}", config.sites.len(), count(routes, "route")));
    for site in &config.sites {
        if let Some(how) = &site.acme {
            line("acme", acme(site, how));
        }
    }
    for (index, upstream) in config.upstreams.iter().enumerate() {
        let forwards = |action: &Action| matches!(action, Action::Forward { upstream } if *upstream == index);
        let http = config.sites.iter().flat_map(|site| &site.routes).filter(|route| forwards(&route.action)).count();
        let names = config.tcp.iter().flat_map(|tcp| &tcp.routes).filter(|route| route.upstream == index).count();
        let used = http + names + config.tcp.iter().filter(|tcp| tcp.upstream == Some(index)).count();
        let endpoints = count(upstream.endpoints.len(), "endpoint");
        let how = match (upstream.protocol, &upstream.tls) {
            (UpstreamProtocol::Http1, None) => "",
            (UpstreamProtocol::Http1, Some(_)) => " over TLS",
            (UpstreamProtocol::Http2(_), None) => " in HTTP/2",
            (UpstreamProtocol::Http2(_), Some(_)) => " in HTTP/2 over TLS",
        };
        line("upstream", format!("{}: {endpoints}{how}, used by {}", upstream.name, count(used, "route")));
        for source in upstream.sources() {
            line("", format!("and what {source} gives: {}", prospect(&source, upstream.max_endpoints)));
        }
    }
    for limit in &config.limits {
        let rate = limit.rate;
        let unit = match rate.per.as_secs() {
            1 => "second".to_owned(),
            60 => "minute".to_owned(),
            3600 => "hour".to_owned(),
            _ => format!("{:?}", rate.per),
        };
        let dry_run = if limit.dry_run { ", dry run" } else { "" };
        line("limit", format!("{}: {} a {unit}, burst {}{dry_run}", limit.name, rate.requests, limit.burst));
    }
    let metrics = config.metrics.as_ref().map_or_else(|| "off".to_owned(), |metrics| metrics.address.to_string());
    line("metrics", metrics);
    let worst = config::worst_case_memory(config);
    line("memory", format!("at worst about {}, beside the program itself", size(worst.total())));
    for share in &worst.shares {
        line("", format!("{:>9}  {}", size(share.bytes), share.what));
    }
    text
}

/// What a source would be used for. A file is looked at; nobody is asked for a name.
fn prospect(source: &EndpointSource, max_endpoints: usize) -> String {
    match source {
        EndpointSource::Addresses { .. } => format!("the addresses of the name, up to {max_endpoints}"),
        EndpointSource::Service { .. } => format!("the targets of the SRV records, up to {max_endpoints}"),
        EndpointSource::File(path) => match config::load_endpoints(path) {
            Ok(endpoints) if endpoints.len() > max_endpoints => {
                format!("{max_endpoints} of {}", count(endpoints.len(), "endpoint"))
            }
            Ok(endpoints) => count(endpoints.len(), "endpoint"),
            Err(diagnostics) => format!("nothing now: {}", diagnostics.in_one_line()),
        },
    }
}

/// What would be ordered for a site, where, and how the names are shown to be ours.
fn acme(site: &Site, how: &SiteAcme) -> String {
    let names = match Wanted::of_site(site, &[]) {
        Some(wanted) => wanted.names.join(", "),
        None => format!("the hosts of site {}, when a client asks for one", site.name),
    };
    let issuers: Vec<&str> = how.issuers.iter().map(|issuer| &*issuer.name).collect();
    let challenges: Vec<&str> = how.challenges.iter().map(|challenge| challenge.name()).collect();
    let (issuers, challenges) = (issuers.join(", else "), challenges.join(" or "));
    format!("{names}: {} from {issuers}, by {challenges}", how.key.name())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}
