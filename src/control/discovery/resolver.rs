//! Names to records: the hosts file, then DNS servers one after the other.
//!
//! hickory speaks with one server at a time; which one, and for how long, is decided here, as a resolver's
//! configuration means it: the next server is asked when the one before gave no answer, not when it said "no such name".

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{LookError, Stamp};
use crate::config;

/// Looks names up. Bound to the runtime that it is used in.
pub(super) struct Resolver {
    config: config::Resolver,
    machine: Mutex<Machine>,
    places: Semaphore,
}

/// The addresses of a name.
pub(super) struct Addresses {
    pub(super) found: Vec<IpAddr>,
    pub(super) ttl: Duration,
    /// A family that could not be asked for, beside one that could.
    pub(super) flaw: Option<(Family, LookError)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn has(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self == Self::V4)
    }

    fn record(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

/// What the machine's own files say, as of their stamps.
#[derive(Clone, Default)]
struct Machine {
    is_read: bool,
    stamps: [Option<Stamp>; 2],
    servers: Arc<[TokioResolver]>,
    hosts: Arc<Hosts>,
}

/// Records, and the shortest TTL on the way to them.
type Records = (Vec<Record>, Duration);

impl Resolver {
    pub(super) fn new(config: &config::Resolver) -> Self {
        Self { config: config.clone(), machine: Mutex::default(), places: Semaphore::new(LOOKUPS_AT_ONCE) }
    }

    pub(super) fn config(&self) -> &config::Resolver {
        &self.config
    }

    /// Every address of a name, of both families unless configured otherwise.
    pub(super) async fn addresses(&self, name: &str) -> Result<Addresses, LookError> {
        let machine = self.machine();
        let families: Vec<Family> = [(self.config.ipv4, Family::V4), (self.config.ipv6, Family::V6)]
            .into_iter()
            .filter_map(|(wanted, family)| wanted.then_some(family))
            .collect();
        let listed = in_hosts(&machine.hosts, name)?;
        if !listed.is_empty() {
            let found: Vec<_> = listed.into_iter().filter(|ip| families.iter().any(|family| family.has(*ip))).collect();
            let none = found.is_empty();
            let answer = Addresses { found, ttl: HOSTS_TTL, flaw: None };
            return if none { Err(LookError::NoAddress) } else { Ok(answer) };
        }
        let asked = families.iter().map(|family| self.ask(&machine, name, family.record()));
        let mut answer = Addresses { found: Vec::new(), ttl: Duration::MAX, flaw: None };
        let mut nothing = None;
        for (family, outcome) in families.iter().zip(futures_util::future::join_all(asked).await) {
            match outcome {
                Ok((records, ttl)) => {
                    answer.found.extend(records.iter().filter_map(|record| record.data.ip_addr()).filter(is_endpoint));
                    answer.ttl = answer.ttl.min(ttl);
                }
                Err(error @ (LookError::NoSuchName | LookError::NoAddress)) => nothing = Some(error),
                Err(error) => answer.flaw = Some((*family, error)),
            }
        }
        match answer {
            Addresses { found, flaw: Some((_, error)), .. } if found.is_empty() => Err(error),
            Addresses { found, flaw: None, .. } if found.is_empty() => Err(nothing.unwrap_or(LookError::NoAddress)),
            answer => Ok(answer),
        }
    }

    /// The SRV records of a name, and how long they count.
    pub(super) async fn services(&self, name: &str) -> Result<(Vec<SRV>, Duration), LookError> {
        let (records, ttl) = self.ask(&self.machine(), name, RecordType::SRV).await.map_err(|error| match error {
            LookError::NoAddress => LookError::NoService,
            error => error,
        })?;
        let service = |record: Record| match record.data {
            RData::SRV(service) => Some(service),
            _ => None,
        };
        Ok((records.into_iter().filter_map(service).collect(), ttl))
    }

    /// Asks one server after the other, each for its part of the time.
    async fn ask(&self, machine: &Machine, name: &str, kind: RecordType) -> Result<Records, LookError> {
        let _place = self.places.acquire().await;
        let name = parsed(name)?;
        let mut last = LookError::Resolver("there is no DNS server to ask".to_owned());
        for server in machine.servers.iter() {
            last = match timeout(self.share(&machine.servers), server.lookup(name.clone(), kind)).await {
                Err(_) => LookError::TimedOut,
                Ok(Err(error)) => match explain(&error) {
                    answer @ (LookError::NoSuchName | LookError::NoAddress) => return Err(answer),
                    error => error,
                },
                Ok(Ok(lookup)) => {
                    let records = lookup.answers();
                    let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
                    let of_kind = records.iter().filter(|record| record.record_type() == kind);
                    return Ok((of_kind.cloned().collect(), Duration::from_secs(ttl.into())));
                }
            };
        }
        Err(last)
    }

    fn share<T>(&self, servers: &[T]) -> Duration {
        self.config.timeout / u32::try_from(servers.len()).unwrap_or(1).max(1)
    }

    /// The servers and hosts of now: the machine's files are read again if they have changed.
    fn machine(&self) -> Machine {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let hosts = self.config.hosts_file.as_deref();
        let own = self.config.servers.is_empty();
        let stamps = [own.then(|| Stamp::of(Path::new(RESOLV_CONF))).flatten(), hosts.and_then(Stamp::of)];
        if !machine.is_read || machine.stamps != stamps {
            *machine = Machine { is_read: true, stamps, servers: self.servers(), hosts: Arc::new(read_hosts(hosts)) };
        }
        machine.clone()
    }

    fn servers(&self) -> Arc<[TokioResolver]> {
        let (domains, options, addresses) = match &self.config.servers[..] {
            [] => machine_servers(std::fs::read(RESOLV_CONF).ok().as_deref()),
            servers => (ResolverConfig::default(), ResolverOpts::default(), servers.to_vec()),
        };
        let mut options = options;
        // Answers are kept by who asks, with everything that becomes of them.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.num_concurrent_reqs = 1;
        options.attempts = 1;
        // Half of its part, so that a lost packet is no failure.
        options.timeout = self.share(&addresses) / 2;
        let one = |address: &SocketAddr| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            connections.iter_mut().for_each(|connection| connection.port = address.port());
            let server = NameServerConfig::new(address.ip(), true, connections);
            let config = ResolverConfig::from_parts(domains.domain().cloned(), domains.search().to_vec(), vec![server]);
            let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.with_options(options.clone()).build().ok()
        };
        addresses.iter().filter_map(one).collect()
    }
}

/// Those of a `resolv.conf`, with its search domains and `ndots`. As with the C library, this machine's own if it names
/// none.
fn machine_servers(text: Option<&[u8]>) -> (ResolverConfig, ResolverOpts, Vec<SocketAddr>) {
    let parsed = text.and_then(|text| parse_resolv_conf(text).ok());
    let (config, options) = parsed.unwrap_or_default();
    let mut addresses: Vec<SocketAddr> = config.name_servers().iter().map(|s| SocketAddr::new(s.ip, DNS)).collect();
    addresses.truncate(MACHINE_SERVERS);
    if addresses.is_empty() {
        addresses.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS));
    }
    // The domain of the host's own name stands in for search domains, not beside them.
    let domain = config.domain().filter(|_| config.search().is_empty()).cloned();
    (ResolverConfig::from_parts(domain, config.search().to_vec(), Vec::new()), options, addresses)
}

/// Bounded: what is beyond isn't read.
fn read_hosts(path: Option<&Path>) -> Hosts {
    use std::io::Read;
    let mut hosts = Hosts::default();
    if let Some(file) = path.and_then(|path| std::fs::File::open(path).ok())
        && let Err(error) = hosts.read_hosts_conf(file.take(MAX_HOSTS))
    {
        tracing::warn!(%error, "the hosts file can't be read to its end");
    }
    hosts
}

/// As with the C library, a name that stands there is not asked for, whichever families it has there.
fn in_hosts(hosts: &Hosts, name: &str) -> Result<Vec<IpAddr>, LookError> {
    let name = parsed(name)?;
    let listed = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)))
        .flat_map(|lookup| lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>());
    Ok(listed.collect())
}

/// Whether there can be one endpoint there. 0.0.0.0, with which some resolvers answer for what they block, would lead to
/// this machine.
fn is_endpoint(ip: &IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && *ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn parsed(name: &str) -> Result<Name, LookError> {
    Name::from_ascii(name).map_err(|error| LookError::Resolver(error.to_string()))
}

fn explain(error: &NetError) -> LookError {
    match error {
        NetError::Timeout => LookError::TimedOut,
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => LookError::NoSuchName,
            ResponseCode::NoError => LookError::NoAddress,
            code => LookError::Resolver(format!("the server answers: {code}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => LookError::Resolver(format!("the server answers: {code}")),
        error => LookError::Resolver(error.to_string()),
    }
}

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The port of a DNS server.
const DNS: u16 = 53;

/// As many as the C library takes from there.
const MACHINE_SERVERS: usize = 3;

/// How long what the hosts file says counts: looking costs nothing.
const HOSTS_TTL: Duration = Duration::from_secs(1);

const MAX_HOSTS: u64 = 16 << 20;

const LOOKUPS_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_search_domains_are_those_of_resolv_conf() {
        let text = "nameserver 10.0.0.2\nnameserver fd00::2\nsearch a.internal b.internal\noptions ndots:5\n";
        let (config, options, servers) = machine_servers(Some(text.as_bytes()));
        assert_eq!(servers, ["10.0.0.2:53".parse().unwrap(), "[fd00::2]:53".parse().unwrap()]);
        let search: Vec<_> = config.search().iter().map(ToString::to_string).collect();
        assert_eq!((search, config.domain(), options.ndots), (vec!["a.internal".into(), "b.internal".into()], None, 5));
    }

    #[test]
    fn no_more_servers_are_asked_than_the_c_library_asks() {
        let text: String = (1..=9).map(|n| format!("nameserver 10.0.0.{n}\n")).collect();
        assert_eq!(machine_servers(Some(text.as_bytes())).2.len(), 3);
    }

    #[test]
    fn without_a_server_this_machine_is_asked() {
        for text in [None, Some(&b""[..]), Some(b"search internal\n"), Some(b"\xff\xfe nameserver\n")] {
            assert_eq!(machine_servers(text).2, ["127.0.0.1:53".parse().unwrap()], "{text:?}");
        }
    }
}
