//! Where requests go.

use std::net::{SocketAddr, ToSocketAddrs};

use rustls_pki_types::ServerName;

use super::plan::Protocol;

/// A URL, taken apart and resolved.
#[derive(Clone, Debug)]
pub struct Target {
    url: String,
    protocol: Protocol,
    is_tls: bool,
    authority: String,
    path: String,
    name: ServerName<'static>,
    addresses: Vec<SocketAddr>,
}

/// Why a URL can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    #[error("{0} is no URL to ask: write http://host:port/path or https://…")]
    Url(String),
    #[error("can't resolve {name}: {source}")]
    Unresolved { name: String, source: std::io::Error },
    #[error("{0} has no address")]
    NoAddress(String),
}

impl Target {
    /// Takes a URL apart and resolves its name. Without a scheme it is `http://`.
    ///
    /// # Errors
    /// [`BadTarget`].
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, BadTarget> {
        let bad = || BadTarget::Url(text.to_owned());
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: http::Uri = url.parse().map_err(|_| bad())?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // A port that is no port is one that `http` passes over.
            None if authority.as_str().ends_with(|c: char| c.is_ascii_digit() || c == ':')
                && authority.as_str() != authority.host() =>
            {
                return Err(bad());
            }
            None if is_tls => 443,
            None => 80,
        };
        if host.is_empty() || port == 0 {
            return Err(bad());
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| bad())?;
        let addresses: Vec<SocketAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|source| BadTarget::Unresolved { name: host.to_owned(), source })?
            .collect();
        if addresses.is_empty() {
            return Err(BadTarget::NoAddress(host.to_owned()));
        }
        let authority = authority.as_str().to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { url, protocol, is_tls, authority, path, name, addresses })
    }

    /// The URL, with its scheme.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// `host[:port]` as the URL has it, for the Host field.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the certificate has to be for.
    pub(super) fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// The address for the `attempt`th try of one connection: a name's addresses in turn, so that one on which nothing
    /// listens (`localhost` is `[::1]` and `127.0.0.1`) doesn't keep a connection from opening.
    pub(super) fn address(&self, attempt: usize) -> SocketAddr {
        self.addresses[attempt % self.addresses.len()]
    }

    /// How many addresses the name has.
    pub(super) fn addresses(&self) -> usize {
        self.addresses.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, BadTarget> {
        Target::parse(text, Protocol::Http1)
    }

    #[test]
    fn urls_are_taken_apart() {
        let target = parse("https://127.0.0.1:8443/a?b=c").unwrap();
        assert_eq!((target.is_tls(), target.authority(), target.path()), (true, "127.0.0.1:8443", "/a?b=c"));
        assert_eq!(target.address(0), "127.0.0.1:8443".parse().unwrap());
        assert_eq!(parse("127.0.0.1:81").unwrap().url(), "http://127.0.0.1:81");
        assert_eq!(parse("http://[::1]").unwrap().address(0), "[::1]:80".parse().unwrap());
        assert_eq!(parse("http://127.0.0.1?q").unwrap().path(), "/?q");
    }

    #[test]
    fn what_can_not_be_asked_is_refused() {
        for url in ["", "ftp://127.0.0.1/", "http://", "http:///a", "http://a:b@127.0.0.1/", "http://127.0.0.1:99999/"]
        {
            assert!(matches!(parse(url), Err(BadTarget::Url(_))), "{url}");
        }
        assert!(matches!(parse("http://no-such-host.invalid/"), Err(BadTarget::Unresolved { .. })));
    }
}
