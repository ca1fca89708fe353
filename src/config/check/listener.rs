//! `[[listener]]` → [`Listener`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Checker, headers};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::file::{ConfigFile, HttpFile, Https, ListenerFile};
use crate::config::model::{Address, HttpLimits, HttpsRedirect, Listener};
use crate::config::value::SecurityHeaders;

impl Checker<'_> {
    pub(super) fn listeners(&mut self, file: &ConfigFile, bound: &mut BTreeMap<Address, Place>) -> Vec<Listener> {
        let mut listeners = Vec::new();
        for listener in &file.listener.items {
            let checked = self.listener(file, listener);
            for address in listener.address.iter().flat_map(|a| &a.items) {
                self.bind(bound, &address.0, address.place);
                listeners.push(Listener { address: address.0.clone(), ..checked.clone() });
            }
        }
        if let Some(metrics) = &file.metrics.0 {
            self.bind(bound, &metrics.address.0.into(), metrics.address.place);
        }
        let any = !file.listener.items.is_empty() || !file.tcp.items.is_empty();
        if !any && file.listener.complete && file.tcp.complete {
            self.tell(Diagnostic::error("there is no listener"))
                .help("say where to listen: `[[listener]]` and below it `address = \":80\"`");
        }
        self.certificate_for_tls(file);
        listeners
    }

    fn listener(&mut self, config: &ConfigFile, file: &ListenerFile) -> Listener {
        let tls = file.tls.0.as_ref();
        self.socket_file(file.address.as_ref(), file.mode.as_ref());
        if let (Some(redirect), Some(_)) = (&file.redirect, tls) {
            self.error("a TLS listener can't redirect to https", redirect.place, "it would redirect to itself")
                .also(file.tls.place, "TLS is on")
                .help("put the redirect on a listener without `tls`");
        }
        if file.h2c.0 && tls.is_some() {
            self.warn("`h2c` does nothing on a TLS listener", file.h2c.place, "for plain listeners")
                .help("HTTP/2 over TLS is on already; `tls = { http2 = false }` turns it off");
        }
        let mut response_headers = headers::security_rules(bundle(file), SecurityHeaders::Off);
        response_headers.extend(headers::rules(&file.response_headers));
        Listener {
            address: SocketAddr::from(([0, 0, 0, 0], 0)).into(),
            mode: file.mode.as_ref().map_or(0o666, |mode| mode.0),
            proxy_protocol: self.proxy_protocol(config, &file.proxy_protocol),
            tls: tls.map(|tls| self.tls(tls)),
            h2c: file.h2c.0 && tls.is_none(),
            redirect_https: file.redirect.as_ref().map(|redirect| {
                let Https = *redirect.to;
                HttpsRedirect { status: redirect.status.0, port: redirect.port.0 as u16 }
            }),
            backlog: file.backlog.0,
            tcp: self.tcp_options(&file.tcp_keepalive, file.tcp_user_timeout.as_ref()),
            http: self.http(&file.http),
            response_headers,
        }
    }

    fn http(&mut self, file: &HttpFile) -> HttpLimits {
        let max_head_bytes = self.buffer(&file.max_head_size, 1 << 10, 1 << 20);
        let max_target_bytes = self.buffer(&file.max_target_size, 256, 1 << 20).min(max_head_bytes);
        HttpLimits {
            head_timeout: file.head_timeout.0,
            idle_timeout: file.idle_timeout.0,
            max_requests: u64::from(file.max_requests.0),
            max_head_bytes,
            max_fields: file.max_fields.size(),
            max_target_bytes,
            min_body_rate: file.min_body_rate.0.map_or(0, |rate| rate.0),
            body_grace: file.body_grace.0,
            send_timeout: file.send_timeout.0,
            max_streams: file.max_streams.0,
        }
    }

    /// No address twice, on its own or among all of its family. Port 0 is a different one each time.
    pub(super) fn bind(&mut self, bound: &mut BTreeMap<Address, Place>, wanted: &Address, place: Place) {
        if wanted.ip().is_some_and(|address| address.port() == 0) {
            return;
        }
        if let Some(&first) = bound.get(wanted) {
            self.error(format!("{wanted} is listened on twice"), place, "again").also(first, "first here");
            return;
        }
        let Some(address) = wanted.ip() else {
            bound.insert(wanted.clone(), place);
            return;
        };
        let all = SocketAddr::new(all_of_family(address.ip()), address.port());
        let overlaps = |other: &SocketAddr| *other == all || (address == all && all_of_family(other.ip()) == all.ip());
        let mut others = bound.iter().filter_map(|(other, first)| Some((other.ip()?, *first)));
        let other = others.find(|(other, _)| other.port() == address.port() && overlaps(other));
        if let Some((other, first)) = other {
            let one = if address == all { other } else { address };
            self.error(format!("{all} includes {one}"), place, "and here")
                .also(first, "listened on here")
                .help("keep one of them: two sockets can't have the same address");
        }
        bound.insert(wanted.clone(), place);
    }

    /// A TLS listener needs a certificate.
    fn certificate_for_tls(&mut self, file: &ConfigFile) {
        let http = file.listener.items.iter().filter(|l| l.tls.0.is_some()).map(|l| l.tls.place);
        let tcp = file.tcp.items.iter().filter(|l| l.tls.0.is_some()).map(|l| l.tls.place);
        let Some(place) = http.chain(tcp).next() else { return };
        let complete = file.site.complete && file.site.items.iter().all(|site| site.certificate.complete);
        if complete && file.site.items.iter().all(|site| site.certificate.items.is_empty()) {
            self.error("this TLS listener has no certificate to show", place, "no site has one")
                .help("give a site `certificate = { chain = \"cert.pem\", key = \"key.pem\" }`");
        }
    }

    /// Certificates, and redirects to https, ask for a TLS listener.
    pub(super) fn warn_without_tls(&mut self, file: &ConfigFile) {
        if file.listener.items.iter().any(|l| l.tls.0.is_some()) || file.tcp.items.iter().any(|l| l.tls.0.is_some()) {
            return;
        }
        if let Some(site) = file.site.items.iter().find(|site| !site.certificate.items.is_empty()) {
            self.warn("this certificate is not used", site.certificate.place, "no listener has TLS")
                .help("write `tls = true` at a listener");
        }
        for redirect in file.listener.items.iter().filter_map(|l| l.redirect.as_ref()) {
            self.warn("this redirects to https, but no listener has TLS", redirect.place, "").help(
                "all is well if something in front of Tidegate serves https; else write `tls = true` at a listener",
            );
        }
    }
}

/// The address that stands for every one of the same family. An IPv6 listener takes IPv6 only.
fn all_of_family(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The strongest bundle that a listener sets.
pub(super) fn strongest_bundle(file: &ConfigFile) -> SecurityHeaders {
    let bundles = file.listener.items.iter().filter_map(|l| bundle(l));
    bundles.max_by_key(|b| headers::strength(*b)).unwrap_or(SecurityHeaders::Off)
}

fn bundle(file: &ListenerFile) -> Option<SecurityHeaders> {
    file.security_headers.as_ref().map(|b| b.value)
}
