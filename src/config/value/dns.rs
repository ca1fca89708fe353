//! DNS: servers, and the names of services.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value as Json;

use super::address::is_host_name;
use super::{Complaint, Text, string_schema};

/// The address of a DNS server; without a port, 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerAddress(pub(crate) SocketAddr);

impl Text for ServerAddress {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "the address of a DNS server such as \"10.0.0.2\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self(SocketAddr::new(ip, 53)));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self(address)),
            _ => Err(Complaint::is_not(text, "the address of a DNS server")
                .help("write an IP address, and its port if that isn't 53: \"10.0.0.2\" or \"[fd00::2]:5353\"")),
        }
    }

    fn json() -> Json {
        string_schema("An IP address; without a port, port 53.", &["10.0.0.2", "10.0.0.2:5353", "[fd00::2]:53"])
    }
}

/// What stands before a name in the name of its SRV records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName(pub(crate) String);

impl ServiceName {
    /// The whole name. Without a dot it is RFC 2782's, over TCP; with one, it is all there as nginx has it.
    pub(crate) fn of(&self, host: &str) -> String {
        match self.0.contains('.') {
            true => format!("{}.{host}", self.0),
            false => format!("_{}._tcp.{host}", self.0.trim_start_matches('_')),
        }
    }
}

impl Text for ServiceName {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "the name of a service such as \"http\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text.len() > 128 || !is_host_name(text) || text.ends_with('.') {
            return Err(Complaint::is_not(text, "the name of a service")
                .help("write \"http\" for `_http._tcp.NAME`, or all that stands before the name: \"_http._tcp.app\""));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    fn json() -> Json {
        string_schema("What stands before the name of SRV records.", &["http", "_http._tcp.app"])
    }
}

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn a_server_is_an_address_and_may_have_a_port() {
        assert_parses(
            |s: ServerAddress| s.0.to_string(),
            &[
                ("10.0.0.2", "10.0.0.2:53".to_owned()),
                ("10.0.0.2:5353", "10.0.0.2:5353".to_owned()),
                ("fd00::2", "[fd00::2]:53".to_owned()),
                ("[fd00::2]", "[fd00::2]:53".to_owned()),
                ("[fd00::2]:54", "[fd00::2]:54".to_owned()),
            ],
            &[
                ("dns.example", "\"dns.example\" is not the address of a DNS server"),
                ("10.0.0.2:0", "\"10.0.0.2:0\" is not the address of a DNS server"),
                ("", "\"\" is not the address of a DNS server"),
            ],
        );
    }

    #[test]
    fn a_service_is_named_as_nginx_names_it() {
        assert_parses(
            |s: ServiceName| s.of("app.internal"),
            &[
                ("http", "_http._tcp.app.internal".to_owned()),
                ("_HTTP", "_http._tcp.app.internal".to_owned()),
                ("_http._tcp", "_http._tcp.app.internal".to_owned()),
                ("server1.app", "server1.app.app.internal".to_owned()),
            ],
            &[
                ("", "\"\" is not the name of a service"),
                ("a b", "\"a b\" is not the name of a service"),
                ("_http._tcp.", "\"_http._tcp.\" is not the name of a service"),
            ],
        );
    }
}
