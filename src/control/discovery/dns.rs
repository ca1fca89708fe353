//! Endpoints by DNS: the addresses of a name, or what its SRV records lead to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use hickory_resolver::proto::rr::rdata::SRV;

use super::resolver::{Addresses, Resolver};
use super::{Answer, LookError, Source};
use crate::upstream::Found;

/// A name, and which of its records count.
pub(super) struct Dns {
    resolver: Arc<Resolver>,
    name: String,
    what: What,
}

enum What {
    Addresses { port: u16 },
    Service,
}

impl Dns {
    /// The A and AAAA records of `host`, each with this port.
    pub(super) fn addresses(resolver: Arc<Resolver>, host: String, port: u16) -> Self {
        Self { resolver, name: host, what: What::Addresses { port } }
    }

    /// The SRV records of `name`, and the addresses of their targets.
    pub(super) fn service(resolver: Arc<Resolver>, name: String) -> Self {
        Self { resolver, name, what: What::Service }
    }

    async fn look_for_addresses(&self, port: u16, before: &[Found]) -> Result<Answer, LookError> {
        let Addresses { mut found, ttl, flaw } = self.resolver.addresses(&self.name).await?;
        if let Some((family, _)) = &flaw {
            // Its servers fail for one family alone: the other one is no reason to let go of this one.
            found.extend(before.iter().filter_map(|found| Some(found.address.ip()?.ip())).filter(|ip| family.has(*ip)));
        }
        found.sort_unstable();
        found.dedup();
        let found = found.into_iter().map(|ip| Found::at(SocketAddr::new(ip, port))).collect();
        Ok(Answer { found, ttl: Some(ttl), flaw: flaw.map(|(_, error)| error) })
    }

    /// RFC 2782. As in nginx, records of the lowest number in priority give the primaries, all others backups, and a
    /// weight of 0 is 1.
    async fn look_for_service(&self) -> Result<Answer, LookError> {
        let (mut records, mut ttl) = self.resolver.services(&self.name).await?;
        // "." as the target: the service is decidedly not available.
        records.retain(|record| !record.target.is_root() && record.port != 0);
        let Some(first) = records.iter().map(|record| record.priority).min() else { return Err(LookError::NoService) };
        let mut targets: BTreeMap<String, Vec<SRV>> = BTreeMap::new();
        for record in records {
            targets.entry(record.target.to_ascii()).or_default().push(record);
        }
        let looked: Vec<(Vec<IpAddr>, Duration, Vec<SRV>)> = stream::iter(targets)
            .map(|(target, records)| async move {
                match self.resolver.addresses(&target).await {
                    Ok(Addresses { flaw: Some((_, error)), .. }) => Err(error),
                    Ok(Addresses { mut found, ttl, .. }) => {
                        found.sort_unstable();
                        Ok((found, ttl, records))
                    }
                    // One that is announced and not there yet, or no longer, keeps the others from nothing.
                    Err(LookError::NoSuchName | LookError::NoAddress) => Ok((Vec::new(), Duration::MAX, records)),
                    Err(error) => Err(error),
                }
            })
            .buffer_unordered(TARGETS_AT_ONCE)
            .try_collect()
            .await?;
        let mut services = Vec::new();
        for (addresses, counts, records) in &looked {
            ttl = ttl.min(*counts);
            services.extend(records.iter().map(|record| (record, addresses)));
        }
        // The first ones stay if there are too many, and are the same each time.
        services.sort_by_key(|(record, _)| (record.priority, &record.target, record.port));
        let pairs = services.iter().flat_map(|(record, addresses)| addresses.iter().map(move |ip| (record, *ip)));
        let mut found: Vec<Found> = pairs
            .take(MOST_FOUND)
            .map(|(record, ip)| {
                let weight = NonZeroU32::new(u32::from(record.weight)).unwrap_or(NonZeroU32::MIN);
                let backup = record.priority != first;
                let address = SocketAddr::new(ip, record.port);
                Found { weight: Some(weight), backup, ..Found::at(address) }
            })
            .collect();
        // Of an address that stands there twice, the primary one counts.
        found.sort_by(|a, b| (a.backup, &a.address, a.weight).cmp(&(b.backup, &b.address, b.weight)));
        match found.iter().any(|found| !found.backup) {
            true => Ok(Answer { found, ttl: Some(ttl), flaw: None }),
            false => Err(LookError::NoService),
        }
    }
}

impl Source for Dns {
    async fn look(&mut self, before: &[Found]) -> Result<Answer, LookError> {
        match self.what {
            What::Addresses { port } => self.look_for_addresses(port, before).await,
            What::Service => self.look_for_service().await,
        }
    }

    async fn changed(&mut self) {
        std::future::pending().await
    }
}

const TARGETS_AT_ONCE: usize = 16;

/// Of all records with all addresses of their targets. An upstream's `max_endpoints` is no more either; and two answers
/// of 64 KiB could make ten millions.
const MOST_FOUND: usize = 10_000;
