//! Addresses: where to listen, where endpoints are, whom to trust.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use serde_json::Value as Json;

use super::{Complaint, Text, string_schema};
use crate::config::diagnostic::quote;
use crate::config::model::{self, UpstreamHost};

/// Where to listen: an IP address and port, or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress(pub(crate) model::Address);

impl Text for ListenAddress {
    const DEFINITION: Option<&'static str> = Some("ListenAddress");
    const EXPECTED: &'static str = "an address such as \"0.0.0.0:80\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match unix_path(text) {
            Some(path) => Ok(Self(model::Address::Unix(path?.into()))),
            None => IpListenAddress::parse(text).map(|address| Self(address.0.into())),
        }
    }

    fn json() -> Json {
        string_schema(
            "An IP address and a port, or the path of a Unix socket. \":80\" is port 80 on every IPv4 address, \
             \"[::]:80\" on every IPv6 address.",
            &[":8080", "0.0.0.0:80", "[::]:80", "127.0.0.1:80", "unix:/run/tidegate.sock"],
        )
    }
}

/// An address to bind: ":8080" is port 8080 on every IPv4 address. Port 0 lets the system choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpListenAddress(pub(crate) SocketAddr);

impl Text for IpListenAddress {
    const DEFINITION: Option<&'static str> = Some("IpListenAddress");
    const EXPECTED: &'static str = "an address such as \"0.0.0.0:80\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let wrong = |help: String| Err(Complaint::is_not(text, "an address to listen on").help(help));
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
            Some(_) => return wrong(format!("write an IPv6 address in brackets, with a port: \"[{text}]:80\"")),
            None if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() => {
                return wrong(format!("write \":{text}\" for this port on every IPv4 address"));
            }
            None => return wrong(format!("a port is missing: \"{text}:80\"")),
        };
        let port = if port == "0" { 0 } else { parse_port(port).ok_or_else(|| bad_port(text))? };
        let ip = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6.parse().map(IpAddr::V6).ok(),
            None if host.is_empty() => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            None => host.parse().map(IpAddr::V4).ok(),
        };
        match ip {
            Some(ip) => Ok(Self(SocketAddr::new(ip, port))),
            None if host == "localhost" => wrong(format!("write \"127.0.0.1:{port}\" or \"[::1]:{port}\"")),
            None => wrong("it takes an IP address, not a name: \"0.0.0.0:80\", \"[::]:80\" or \":80\"".to_owned()),
        }
    }

    fn json() -> Json {
        string_schema(
            "An IP address and a port. \":80\" is port 80 on every IPv4 address, \"[::]:80\" on every IPv6 address.",
            &[":8080", "0.0.0.0:80", "[::]:80", "127.0.0.1:80"],
        )
    }
}

/// `host:port` of an endpoint; the port is always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointAddress(pub(crate) String);

impl Text for EndpointAddress {
    const DEFINITION: Option<&'static str> = Some("EndpointAddress");
    const EXPECTED: &'static str = "an address such as \"backend-1:8052\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let wrong = |help: String| Err(Complaint::is_not(text, "an endpoint").help(help));
        if let Some((scheme, rest)) = text.split_once("://") {
            let address = rest.split('/').next().unwrap_or(rest);
            return wrong(without_scheme(scheme, address));
        }
        if let Some(path) = unix_path(text) {
            return path.map(|_| Self(text.to_owned()));
        }
        if let Some(at) = text.find('/') {
            return wrong(format!("leave the path out: \"{}\"", &text[..at]));
        }
        let (host, port) = split_port(text);
        let port = match port {
            Some(port) => parse_port(port).ok_or_else(|| bad_port(text))?,
            None => 80,
        };
        if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            return match v6.parse::<Ipv6Addr>() {
                Ok(ip) => Ok(Self(format!("[{ip}]:{port}"))),
                Err(_) => wrong("what stands in the brackets is no IPv6 address".to_owned()),
            };
        }
        if host.contains(':') {
            return wrong(format!("write an IPv6 address in brackets: \"[{text}]:80\""));
        }
        if !is_host_name(host) {
            return wrong("write \"host:port\", \"10.0.0.1:8080\" or \"[::1]:8080\"".to_owned());
        }
        Ok(Self(format!("{}:{port}", host.to_ascii_lowercase())))
    }

    fn json() -> Json {
        string_schema(
            "A host name or IP address and a port; without one, port 80. IPv6 addresses stand in brackets. Or the path \
             of a Unix socket.",
            &["backend-1:8052", "10.0.0.1:8080", "[2001:db8::1]:8080", "unix:/run/app.sock"],
        )
    }
}

/// An address of this machine, without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceAddress(pub(crate) IpAddr);

impl Text for SourceAddress {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "an IP address such as \"10.0.0.5\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let wrong = |help: &str| Err(Complaint::is_not(text, "an address to connect from").help(help));
        match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => wrong("leave `bind` out to let the system choose"),
            Ok(ip) if ip.is_multicast() => wrong("it takes an address of this machine"),
            Ok(ip) => Ok(Self(ip.to_canonical())),
            Err(_) => wrong("write an IP address of this machine, without a port: \"10.0.0.5\""),
        }
    }

    fn json() -> Json {
        string_schema("An IP address of this machine.", &["10.0.0.5", "2001:db8::5"])
    }
}

/// Addresses that a rule speaks of: one, or a network, or those without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) model::Network);

impl Text for Network {
    const DEFINITION: Option<&'static str> = Some("Network");
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text == model::Address::UNIX {
            return Ok(Self(model::Network::Unix));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(ip).into()));
        }
        match text.parse::<IpNet>() {
            Ok(network) if network.addr() == network.network() => Ok(Self(network.into())),
            Ok(network) => Err(Complaint::new(format!("{} has bits set past its prefix", quote(text)))
                .help(format!("write \"{}\" for the network, or the address alone", network.trunc()))),
            Err(_) => {
                Err(Complaint::is_not(text, "a network").help("write it like \"10.0.0.0/8\" or \"2001:db8::/32\""))
            }
        }
    }

    fn json() -> Json {
        string_schema(
            "An IP address, or a network with its prefix length. \"unix:\" is whoever comes over a Unix socket.",
            &["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "unix:"],
        )
    }
}

/// The Host field sent upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostHeader(pub(crate) UpstreamHost);

impl Text for HostHeader {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "\"request\", \"endpoint\" or a host name";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let help = match text {
            "request" => return Ok(Self(UpstreamHost::Request)),
            "endpoint" => return Ok(Self(UpstreamHost::Endpoint)),
            "$host" | "$http_host" => "write \"request\" for the request's host",
            "$proxy_host" => "write \"endpoint\" for the endpoint's address",
            _ => "write \"request\", \"endpoint\", or the host itself",
        };
        let (host, port) = split_port(text);
        let v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let valid_host = v6.map_or_else(|| is_host_name(host), |v6| v6.parse::<Ipv6Addr>().is_ok());
        if !valid_host || port.is_some_and(|p| parse_port(p).is_none()) {
            return Err(Complaint::is_not(text, "a host").help(help));
        }
        Ok(Self(UpstreamHost::Fixed(text.to_owned())))
    }

    fn json() -> Json {
        string_schema(
            "\"request\", \"endpoint\", or the host to send, with its port if it has one.",
            &["request", "endpoint", "app.internal"],
        )
    }
}

/// What to write in the place of a URL.
fn without_scheme(scheme: &str, address: &str) -> String {
    match scheme {
        "https" => {
            let port = if split_port(address).1.is_some() { "" } else { ":443" };
            format!("write \"{address}{port}\", and `tls = true` in the upstream")
        }
        "h2" | "grpcs" => format!("write \"{address}\", and `protocol = \"h2\"` and `tls = true` in the upstream"),
        "h2c" | "grpc" => format!("write \"{address}\", and `protocol = \"h2c\"` in the upstream"),
        _ => format!("leave the scheme out: \"{address}\""),
    }
}

/// The host that a certificate has to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerNameText(pub(crate) String);

impl Text for ServerNameText {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a host name";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match rustls_pki_types::ServerName::try_from(text) {
            Ok(_) => Ok(Self(text.to_ascii_lowercase())),
            Err(_) => {
                let help = match text {
                    "$host" | "$proxy_host" => "leave it out for the host of the endpoint's address",
                    _ => "write the host alone, without a port: \"backend.internal\"",
                };
                Err(Complaint::is_not(text, "a host name").help(help))
            }
        }
    }

    fn json() -> Json {
        string_schema("A host name or an IP address, without a port.", &["backend.internal"])
    }
}

/// The path of `unix:/path`; `None` for what doesn't begin so.
fn unix_path(text: &str) -> Option<Result<&Path, Complaint>> {
    let wrong = |help: String| Some(Err(Complaint::is_not(text, "a Unix socket").help(help)));
    let Some(path) = text.strip_prefix(model::Address::UNIX) else {
        return if text.starts_with('/') { wrong(format!("write \"unix:{text}\"")) } else { None };
    };
    if path.starts_with("//") {
        return wrong(format!("write \"unix:/{}\"", path.trim_start_matches('/')));
    }
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return wrong("it takes the whole path of the socket: \"unix:/run/app.sock\"".to_owned());
    }
    if path.len() > LONGEST_PATH {
        let label = format!("at most {LONGEST_PATH} bytes");
        return Some(Err(Complaint::new("the path of this Unix socket is too long").label(label)));
    }
    Some(Ok(Path::new(path)))
}

/// Splits at the last colon, unless it stands inside brackets or is one of several.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => (host, Some(port)),
        _ => (text, None),
    }
}

/// 1 to 65535, digits only.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten().filter(|port| *port != 0)
}

fn bad_port(text: &str) -> Complaint {
    Complaint::new(format!("{} has no valid port", quote(text))).label("1 to 65535")
}

/// Whether a resolver may be asked for it: letters, digits, `-`, `_` and dots (RFC 1123 2.1; `_` is common in Docker).
pub(super) fn is_host_name(host: &str) -> bool {
    let label =
        |l: &str| !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let relative = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253 && relative.split('.').all(label)
}

/// `sockaddr_un` (unix(7)), without the zero at its end.
const LONGEST_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn listen_addresses_are_ip_and_port() {
        assert_parses(
            |a: ListenAddress| a.0.to_string(),
            &[
                (":8080", "0.0.0.0:8080".to_owned()),
                ("127.0.0.1:80", "127.0.0.1:80".to_owned()),
                ("[::]:80", "[::]:80".to_owned()),
                ("[::1]:443", "[::1]:443".to_owned()),
                ("127.0.0.1:0", "127.0.0.1:0".to_owned()),
                ("unix:/run/a.sock", "unix:/run/a.sock".to_owned()),
            ],
            &[
                ("80", "\"80\" is not an address to listen on"),
                ("", "\"\" is not an address to listen on"),
                ("::1", "\"::1\" is not an address to listen on"),
                ("localhost:80", "\"localhost:80\" is not an address to listen on"),
                ("0.0.0.0:99999", "\"0.0.0.0:99999\" has no valid port"),
                ("0.0.0.0:+80", "\"0.0.0.0:+80\" has no valid port"),
                ("unix:", "\"unix:\" is not a Unix socket"),
                ("unix:run/a.sock", "\"unix:run/a.sock\" is not a Unix socket"),
                ("unix:///run/a.sock", "\"unix:///run/a.sock\" is not a Unix socket"),
                ("unix:/run/", "\"unix:/run/\" is not a Unix socket"),
                ("/run/a.sock", "\"/run/a.sock\" is not a Unix socket"),
                (&format!("unix:/{}", "x".repeat(107)), "the path of this Unix socket is too long"),
            ],
        );
    }

    #[test]
    fn endpoints_get_port_80_when_they_name_none() {
        assert_parses(
            |a: EndpointAddress| a.0,
            &[
                ("backend-1:8052", "backend-1:8052".to_owned()),
                ("App_1", "app_1:80".to_owned()),
                ("10.0.0.1", "10.0.0.1:80".to_owned()),
                ("[::1]", "[::1]:80".to_owned()),
                ("[2001:DB8::1]:8080", "[2001:db8::1]:8080".to_owned()),
                ("unix:/run/X", "unix:/run/X".to_owned()),
            ],
            &[
                ("http://a:1/", "\"http://a:1/\" is not an endpoint"),
                ("https://a", "\"https://a\" is not an endpoint"),
                ("a/b", "\"a/b\" is not an endpoint"),
                ("unix:run/x", "\"unix:run/x\" is not a Unix socket"),
                ("::1", "\"::1\" is not an endpoint"),
                ("[zz]:80", "\"[zz]:80\" is not an endpoint"),
                ("a b:80", "\"a b:80\" is not an endpoint"),
                ("", "\"\" is not an endpoint"),
                ("a:", "\"a:\" has no valid port"),
                ("a:http", "\"a:http\" has no valid port"),
            ],
        );
    }

    #[test]
    fn a_network_may_be_a_single_address() {
        assert_parses(
            |n: Network| format!("{:?}", n.0),
            &[
                ("10.0.0.0/8", "Ip(10.0.0.0/8)".to_owned()),
                ("::1", "Ip(::1/128)".to_owned()),
                ("unix:", "Unix".to_owned()),
            ],
            &[("10.0.0.1/8", "\"10.0.0.1/8\" has bits set past its prefix"), ("local", "\"local\" is not a network")],
        );
    }

    #[test]
    fn the_host_field_is_the_requests_the_endpoints_or_fixed() {
        let fixed = |h: &str| UpstreamHost::Fixed(h.to_owned());
        assert_parses(
            |h: HostHeader| h.0,
            &[
                ("request", UpstreamHost::Request),
                ("endpoint", UpstreamHost::Endpoint),
                ("app.internal:81", fixed("app.internal:81")),
            ],
            &[("$host", "\"$host\" is not a host"), ("a b", "\"a b\" is not a host"), ("a:x", "\"a:x\" is not a host")],
        );
    }
}
