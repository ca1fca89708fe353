//! What listeners and upstreams say about sockets alike.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Checker;
use crate::config::file::{ConfigFile, EndpointFile, KeepAliveFile, ProxyProtocolFile};
use crate::config::model::{KeepAlive, ProxyProtocol, TcpOptions};
use crate::config::read::{At, Many, Switch};
use crate::config::value::{FileMode, ListenAddress, SourceAddress, Timeout};

impl Checker<'_> {
    pub(super) fn tcp_options(
        &mut self,
        keepalive: &At<Switch<KeepAliveFile>>,
        user_timeout: Option<&At<Timeout>>,
    ) -> TcpOptions {
        let keepalive = keepalive.0.as_ref().map(|file| KeepAlive {
            idle: file.idle.as_ref().map(|time| self.seconds(time)),
            interval: file.interval.as_ref().map(|time| self.seconds(time)),
            count: file.count.as_ref().map(|count| count.0),
        });
        TcpOptions { keepalive, user_timeout: user_timeout.map(|time| time.0) }
    }

    /// What the kernel counts in whole seconds, up to 32,767 of them.
    fn seconds(&mut self, time: &At<Timeout>) -> Duration {
        if time.0.subsec_nanos() > 0 || time.0.as_secs() > 32_767 {
            self.error("the kernel can't count this time", time.place, "whole seconds, 1 to 32767");
        }
        time.0
    }

    /// What listeners say of where they are.
    pub(super) fn socket_file(&mut self, addresses: Option<&At<Many<ListenAddress>>>, mode: Option<&At<FileMode>>) {
        let Some(addresses) = addresses else { return };
        if addresses.items.is_empty() && addresses.complete {
            self.error("the listener has no address", addresses.place, "empty").help("write `address = \":80\"`");
        }
        if let (Some(mode), true) = (mode, addresses.complete && addresses.items.iter().all(|a| a.0.ip().is_some())) {
            self.error("`mode` is for the file of a Unix socket", mode.place, "no address here is one");
        }
    }

    /// Where connections come from: one address of each family that the endpoints have.
    pub(super) fn bind_from(
        &mut self,
        bind: Option<&At<Many<SourceAddress>>>,
        endpoints: Option<&At<Many<EndpointFile>>>,
    ) -> Vec<IpAddr> {
        let Some(bind) = bind else { return Vec::new() };
        if bind.items.is_empty() && bind.complete {
            self.error("there is no address to connect from", bind.place, "empty").help("leave `bind` out");
        }
        let mut sources: Vec<&At<SourceAddress>> = Vec::new();
        for source in &bind.items {
            let of_family = |other: &&&At<SourceAddress>| other.0.is_ipv4() == source.0.is_ipv4();
            match sources.iter().find(of_family) {
                Some(first) => {
                    let family = family(source.0);
                    self.error(format!("there are two {family} addresses to connect from"), source.place, "and here")
                        .also(first.place, "here");
                }
                None => sources.push(source),
            }
        }
        let addresses = endpoints.into_iter().flat_map(|many| &many.items).filter_map(|file| file.address.as_ref());
        for address in addresses {
            let Ok(ip) = address.0.parse::<SocketAddr>().map(|address| address.ip()) else { continue };
            if !sources.is_empty() && !sources.iter().any(|source| source.0.is_ipv4() == ip.is_ipv4()) {
                self.error(format!("nothing in `bind` can reach this {} endpoint", family(ip)), address.place, "")
                    .also(bind.place, format!("has no {} address", family(ip)));
            }
        }
        sources.iter().map(|source| source.0).collect()
    }

    pub(super) fn proxy_protocol(
        &mut self,
        config: &ConfigFile,
        file: &At<Switch<ProxyProtocolFile>>,
    ) -> Option<ProxyProtocol> {
        let own = file.0.as_ref()?;
        let (from, complete) = match &own.from {
            Some(from) => (&from.value, from.complete),
            None => (&config.trusted_proxies.value, config.trusted_proxies.complete),
        };
        if from.items.is_empty() && complete {
            self.error("nobody may send a PROXY header here", file.place, "every connection would be closed").help(
                "name who does: `trusted_proxies` above the first [table], or `proxy_protocol = { from = \"10.0.0.0/8\" }`",
            );
        }
        if let Some(from) = &own.from {
            self.trust_in(from);
        }
        Some(ProxyProtocol { from: from.items.iter().map(|network| network.0).collect(), timeout: own.timeout.0 })
    }
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}
