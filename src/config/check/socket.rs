//! What listeners and upstreams say about sockets alike.

use std::time::Duration;

use super::Checker;
use crate::config::file::{ConfigFile, KeepAliveFile, ProxyProtocolFile};
use crate::config::model::{KeepAlive, ProxyProtocol, TcpOptions};
use crate::config::read::{At, Switch};
use crate::config::value::Timeout;

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
