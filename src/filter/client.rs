//! Who the client is: the peer, or what trusted proxies say about it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::config::Network;
use crate::http::address::Client;
use crate::http::field::FieldId;
use crate::http::head::Fields;

/// The most hops of X-Forwarded-For that are looked at, from the right.
const MAX_HOPS: usize = 64;

/// Peers whose word is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    unix: bool,
}

impl TrustedProxies {
    /// A network of IPv4-mapped addresses (`::ffff:a.b.c.d/n`, n ≥ 96) means the IPv4 network.
    pub fn new(networks: &[Network]) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        let ips = networks.iter().filter_map(|network| match network {
            Network::Ip(ip) => Some(ip),
            Network::Unix => None,
        });
        for network in ips {
            match (network.network().to_canonical(), network.broadcast().to_canonical()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits())),
                _ => {
                    let bits = |address| match address {
                        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
                        IpAddr::V6(v6) => Ipv6Addr::to_bits(v6),
                    };
                    v6.push((bits(network.network()), bits(network.broadcast())));
                }
            }
        }
        Self { v4: Ranges::new(v4), v6: Ranges::new(v6), unix: networks.contains(&Network::Unix) }
    }

    pub fn is_trusted(&self, client: Client) -> bool {
        match client.to_canonical() {
            Client::Ip(IpAddr::V4(v4)) => self.v4.contain(v4.to_bits()),
            Client::Ip(IpAddr::V6(v6)) => self.v6.contain(v6.to_bits()),
            Client::Unix => self.unix,
        }
    }

    /// The client's address: the peer's, unless that is trusted; then the rightmost address of X-Forwarded-For that isn't.
    ///
    /// Each trusted hop vouches for the entry before its own only, so what a client writes itself is never reached. An
    /// entry that is no address (`unknown`, garbage) ends the search, and the last good address counts. IPv4-mapped
    /// addresses are returned as IPv4. nginx's `real_ip_recursive on`.
    pub fn client(&self, peer: Client, fields: &Fields) -> Client {
        let mut client = peer.to_canonical();
        if !self.is_trusted(client) {
            return client;
        }
        let hops = fields
            .get_all(FieldId::XForwardedFor)
            .rev()
            .flat_map(|line| line.rsplit(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .take(MAX_HOPS);
        for hop in hops.filter(|hop| !hop.is_empty()) {
            let Some(address) = parse(hop) else { break };
            client = address.into();
            if !self.is_trusted(client) {
                break;
            }
        }
        client
    }
}

/// Sorted ranges that don't overlap, ends included.
#[derive(Clone, Debug, Default)]
struct Ranges<T>(Box<[(T, T)]>);

impl<T: Ord + Copy> Ranges<T> {
    fn new(mut ranges: Vec<(T, T)>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let overlaps = next.0 <= kept.1;
            if overlaps {
                kept.1 = kept.1.max(next.1);
            }
            overlaps
        });
        Self(ranges.into())
    }

    fn contain(&self, value: T) -> bool {
        let after = self.0.partition_point(|range| range.0 <= value);
        after > 0 && value <= self.0[after - 1].1
    }
}

/// One hop as proxies write them: an address, perhaps in brackets, perhaps with a port.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let address =
        IpAddr::from_str(text).ok().or_else(|| SocketAddr::from_str(text).ok().map(|a| a.ip())).or_else(|| {
            let inner = text.strip_prefix('[')?.strip_suffix(']')?;
            Ipv6Addr::from_str(inner).ok().map(IpAddr::V6)
        })?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::*;

    fn trusted(networks: &[&str]) -> TrustedProxies {
        let parse = |network: &&str| match *network {
            "unix:" => Network::Unix,
            ip => Network::Ip(ip.parse().unwrap()),
        };
        TrustedProxies::new(&networks.iter().map(parse).collect::<Vec<_>>())
    }

    fn ip(text: &str) -> Client {
        Client::Ip(text.parse().unwrap())
    }

    fn fields(lines: &[&str]) -> Fields {
        let mut fields = Fields::default();
        for line in lines {
            fields.push(b"X-Forwarded-For", line.as_bytes());
        }
        fields
    }

    fn client(peer: &str, lines: &[&str]) -> String {
        let proxies = trusted(&["10.0.0.0/8", "2001:db8::/32"]);
        proxies.client(ip(peer), &fields(lines)).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(client("192.0.2.1", &["10.0.0.1", "198.51.100.1"]), "192.0.2.1");
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client() {
        for (lines, want) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["1.1.1.1, 198.51.100.1, 10.0.0.9"], "198.51.100.1"),
            (&["1.1.1.1", "198.51.100.1,10.0.0.9", "10.0.0.8"], "198.51.100.1"),
            (&["1.1.1.1, 198.51.100.1,, ,"], "198.51.100.1"),
            (&["10.0.0.3, 10.0.0.9"], "10.0.0.3"),
            (&[], "10.0.0.1"),
            (&[""], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", lines), want, "{lines:?}");
        }
    }

    #[test]
    fn ports_and_brackets_are_tolerated() {
        for (hop, want) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("[2001:dead::1]", "2001:dead::1"),
            ("[2001:dead::1]:4711", "2001:dead::1"),
            ("2001:dead::1", "2001:dead::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[hop]), want, "{hop}");
        }
    }

    #[test]
    fn garbage_ends_the_search_at_the_last_good_address() {
        for bad in
            ["unknown", "_hidden", "1.2.3", "1.2.3.4.5", "[::1", "1.2.3.4:x", "fe80::1%eth0", "\u{e9}", "[1.2.3.4]"]
        {
            assert_eq!(client("10.0.0.1", &[&format!("198.51.100.1, {bad}, 10.0.0.2")]), "10.0.0.2", "{bad}");
        }
    }

    #[test]
    fn a_mapped_peer_is_its_ipv4_address_and_trusted_as_such() {
        assert_eq!(client("::ffff:192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert!(trusted(&["::ffff:10.0.0.0/104"]).is_trusted(ip("10.1.1.1")));
    }

    #[test]
    fn the_search_is_bounded() {
        let line = format!("198.51.100.1{}", ", 10.0.0.2".repeat(MAX_HOPS));
        assert_eq!(client("10.0.0.1", &[&line]), "10.0.0.2");
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        assert!(!TrustedProxies::default().is_trusted(ip("127.0.0.1")));
        assert!(!trusted(&["0.0.0.0/0"]).is_trusted(Client::Unix));
    }

    #[test]
    fn whoever_comes_over_a_unix_socket_is_trusted_by_a_name_of_its_own() {
        let proxies = trusted(&["unix:", "10.0.0.0/8"]);
        assert_eq!(proxies.client(Client::Unix, &fields(&["1.1.1.1, 198.51.100.1, 10.0.0.2"])), ip("198.51.100.1"));
        assert_eq!(proxies.client(Client::Unix, &fields(&[])), Client::Unix);
        assert_eq!(proxies.client(Client::Unix, &fields(&["unknown"])), Client::Unix);
        assert!(!proxies.is_trusted(ip("127.0.0.1")));
    }

    proptest! {
        #[test]
        fn membership_agrees_with_a_linear_look(
            networks in prop::collection::vec((any::<[u8; 4]>(), 0u8..=32), 0..12),
            address in any::<[u8; 4]>(),
        ) {
            let networks: Vec<_> =
                networks.into_iter().map(|(a, n)| IpNet::new(IpAddr::from(a), n).unwrap()).collect();
            let addresses = networks.iter().flat_map(|n| [n.network(), n.broadcast()]).chain([IpAddr::from(address)]);
            let addresses: Vec<IpAddr> = addresses.collect();
            let proxies = TrustedProxies::new(&networks.iter().map(|n| Network::Ip(*n)).collect::<Vec<_>>());
            for address in addresses {
                prop_assert_eq!(proxies.is_trusted(address.into()), networks.iter().any(|n| n.contains(&address)));
            }
        }

        #[test]
        fn a_client_behind_a_trusted_proxy_can_not_choose_its_address(
            forged in prop::collection::vec("[ -~]{0,20}|10\\.0\\.0\\.[1-9](, 10\\.0\\.0\\.[1-9]){0,3}", 0..4),
            hops in prop::collection::vec(1u8..255, 0..4),
        ) {
            let mut line = "198.51.100.77".to_owned();
            for hop in hops {
                line.push_str(&format!(", 10.0.0.{hop}"));
            }
            let mut lines: Vec<&str> = forged.iter().map(String::as_str).collect();
            lines.push(&line);
            prop_assert_eq!(client("10.0.0.1", &lines), "198.51.100.77");
            let joined = lines.join(", ");
            prop_assert_eq!(client("10.0.0.1", &[&joined]), "198.51.100.77");
        }
    }
}
