//! TXT records for dns-01 (RFC 8555 8.4).

mod ask;
mod exec;
mod update;

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::rr::Name;
use tokio::time::{Instant, sleep};

use self::update::Primary;
use super::failure::{Class, Failure};
use crate::config::{Dns, DnsHow};

/// A record that shows a CA that a name is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Where it is set: where the aliases of `_acme-challenge` lead.
    name: Name,
    value: String,
}

const FIRST_LOOK: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Record {
    /// The record for a host.
    ///
    /// # Errors
    /// Its aliases can't be looked up.
    pub(super) async fn of(dns: &Dns, host: &str, value: String) -> Result<Self, Failure> {
        let name = format!("_acme-challenge.{host}.");
        let name = Name::from_ascii(&name).map_err(|_| Failure::local(format!("{name} is no name")))?;
        let asked = resolvers(dns);
        let name = match (ask::canonical(&asked, name.clone()).await, &dns.how) {
            (Ok(name), _) => name,
            // A program may know better than this machine, and a name server knows its own zones.
            (Err(failure), _) if dns.resolver.is_none() => {
                tracing::warn!("aliases can't be looked up, and none is assumed: {failure}");
                name
            }
            (Err(failure), _) => return Err(failure),
        };
        Ok(Self { name, value })
    }

    /// # Errors
    /// It can't be set.
    pub(super) async fn set(&self, dns: &Dns) -> Result<(), Failure> {
        match &dns.how {
            DnsHow::Exec { command } => exec::run(command, "present", &self.written(), &self.value).await,
            how => primary(how)?.add(&self.name, &self.value).await,
        }
    }

    /// # Errors
    /// It can't be taken away.
    pub(super) async fn remove(&self, dns: &Dns) -> Result<(), Failure> {
        match &dns.how {
            DnsHow::Exec { command } => exec::run(command, "cleanup", &self.written(), &self.value).await,
            how => primary(how)?.remove(&self.name, &self.value).await,
        }
    }

    /// Waits until every server of the zone that answers has it.
    ///
    /// # Errors
    /// One of them hasn't after its time.
    pub(super) async fn visible(&self, dns: &Dns) -> Result<(), Failure> {
        let until = Instant::now() + dns.propagation_timeout;
        let asked = resolvers(dns);
        let mut servers = match ask::zone_of(&asked, &self.name).await {
            Ok(zone) => ask::servers_of(&asked, &zone).await,
            Err(_) => Vec::new(),
        };
        match &dns.how {
            DnsHow::Update { server, .. } => servers.insert(0, *server),
            DnsHow::Exec { .. } => servers.extend(dns.resolver),
        }
        let mut pause = FIRST_LOOK;
        loop {
            let mut missing = None;
            for server in &servers {
                // One that doesn't answer us may well answer the CA, and can't be waited for.
                if let Ok(texts) = ask::texts(*server, &self.name).await
                    && !texts.contains(&self.value)
                {
                    missing = Some(server);
                }
            }
            let Some(missing) = missing else { return Ok(()) };
            if Instant::now() + pause > until {
                let detail = format!("{} can't be seen at the name server {missing} in time", self.written());
                return Err(Failure::new(Class::Validation, detail));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Without the last dot.
    fn written(&self) -> String {
        self.name.to_ascii().trim_end_matches('.').to_owned()
    }
}

fn primary(how: &DnsHow) -> Result<Primary<'_>, Failure> {
    match how {
        DnsHow::Update { server, key_name, algorithm, secret } => {
            Ok(Primary { server: *server, key_name, algorithm: *algorithm, secret })
        }
        DnsHow::Exec { .. } => Err(Failure::local("a program sets records, not a name server")),
    }
}

/// Who is asked for aliases and for a zone's servers.
fn resolvers(dns: &Dns) -> Vec<SocketAddr> {
    dns.resolver.map_or_else(ask::system_resolvers, |resolver| vec![resolver])
}
