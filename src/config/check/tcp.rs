//! `[[tcp]]` → [`TcpListener`].

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::SocketAddr;

use super::{Checker, Names};
use crate::config::diagnostic::{Place, quote};
use crate::config::file::{ConfigFile, TcpFile, TlsFile};
use crate::config::model::{Address, HashKey, Policy, TcpListener, TcpRoute, Tls, Upstream, UpstreamProtocol};
use crate::config::read::At;
use crate::config::value::{HostName, Name};

impl Checker<'_> {
    pub(super) fn tcp(
        &mut self,
        file: &ConfigFile,
        bound: &mut BTreeMap<Address, Place>,
        names: &mut Names,
        upstreams: &[Upstream],
    ) -> Vec<TcpListener> {
        let mut listeners = Vec::new();
        for tcp in &file.tcp.items {
            let checked = self.tcp_listener(file, tcp, names, upstreams);
            for address in tcp.address.iter().flat_map(|a| &a.items) {
                self.bind(bound, &address.0, address.place);
                listeners.push(TcpListener { address: address.0.clone(), ..checked.clone() });
            }
        }
        listeners
    }

    fn tcp_listener(
        &mut self,
        config: &ConfigFile,
        file: &At<TcpFile>,
        names: &mut Names,
        upstreams: &[Upstream],
    ) -> TcpListener {
        self.socket_file(file.address.as_ref(), file.mode.as_ref());
        let routes = self.tcp_routes(file, names, upstreams);
        let upstream = file.upstream.as_ref().and_then(|name| self.tcp_upstream(name, names, upstreams));
        if file.upstream.is_none() && file.route.items.is_empty() && file.route.complete {
            self.error("these connections lead nowhere", file.place, "").help("write `upstream = \"…\"`");
        }
        TcpListener {
            address: SocketAddr::from(([0, 0, 0, 0], 0)).into(),
            mode: file.mode.as_ref().map_or(0o666, |mode| mode.0),
            proxy_protocol: self.proxy_protocol(config, &file.proxy_protocol),
            tls: file.tls.0.as_ref().map(|tls| self.tcp_tls(tls)),
            routes,
            upstream,
            backlog: file.backlog.0,
            tcp: self.tcp_options(&file.tcp_keepalive, file.tcp_user_timeout.as_ref()),
            hello_timeout: file.hello_timeout.0,
            idle_timeout: file.idle_timeout.0,
        }
    }

    fn tcp_tls(&mut self, file: &TlsFile) -> Tls {
        if let Some(field) = file.client_auth.as_ref().and_then(|auth| auth.subject_header.as_ref()) {
            self.error("no request is there to carry a field", field.place, "only for HTTP")
                .help("leave `subject_header` out: the access log has the subject");
        }
        self.tls(file)
    }

    /// Each name leads to one place.
    fn tcp_routes(&mut self, file: &TcpFile, names: &mut Names, upstreams: &[Upstream]) -> Vec<TcpRoute> {
        let mut claimed = HashMap::new();
        let mut routes = Vec::new();
        for route in &file.route.items {
            let hosts: &[At<HostName>] = route.hosts.as_ref().map_or(&[], |hosts| &hosts.items);
            for (host, pattern) in hosts.iter().flat_map(|host| host.0.iter().map(move |pattern| (host, pattern))) {
                if let Some(first) = claimed.insert(pattern.clone(), host.place) {
                    self.error("this name stands here twice", host.place, "again").also(first, "the first");
                }
            }
            if let Some(hosts) = route.hosts.as_ref().filter(|hosts| hosts.items.is_empty() && hosts.complete) {
                self.error("the route has no name", hosts.place, "empty")
                    .help("for what no route takes, write the listener's `upstream`");
            }
            let Some(name) = &route.upstream else { continue };
            if let Some(upstream) = self.tcp_upstream(name, names, upstreams) {
                let hosts = hosts.iter().flat_map(|host| host.0.iter().cloned()).collect();
                routes.push(TcpRoute { hosts, upstream });
            }
        }
        routes
    }

    /// An upstream that can be balanced to without a request.
    fn tcp_upstream(&mut self, name: &At<Name>, names: &mut Names, upstreams: &[Upstream]) -> Option<usize> {
        let index = names.find(name, self)?;
        // One with complaints of its own may be missing among the checked.
        let upstream = upstreams.iter().find(|upstream| *upstream.name == *name.0)?;
        if upstream.protocol != UpstreamProtocol::Http1 {
            let title = format!("upstream {} is spoken to in HTTP/2", quote(&name.0));
            self.error(title, name.place, "these connections are passed on as they are")
                .help("give them an upstream of their own, without `protocol`");
            return None;
        }
        let needs_request =
            |what: &str| (format!("upstream {} balances by what only HTTP has", quote(&name.0)), what.to_owned());
        let wrong = match &upstream.policy {
            Policy::Hash(hash) if hash.key != HashKey::ClientIp => Some(needs_request("its hash is of a request")),
            _ if upstream.sticky.is_some() => Some(needs_request("it sets a cookie")),
            _ => None,
        };
        if let Some((title, label)) = wrong {
            self.error(title, name.place, label)
                .help("for TCP: `hash = \"client_ip\"`, `policy = \"ip_hash\"`, or a policy that goes by load");
            return None;
        }
        Some(index)
    }
}
