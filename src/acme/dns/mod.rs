//! TXT records for dns-01 (RFC 8555 8.4).

mod exec;

use super::failure::{Class, Failure};
use crate::config::{Dns, DnsHow};

/// A record that shows a CA that a name is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Where it is set.
    name: String,
    value: String,
}

impl Record {
    /// The record for a name.
    ///
    /// # Errors
    /// The name's delegation can't be looked up.
    pub(super) async fn of(_dns: &Dns, host: &str, value: String) -> Result<Self, Failure> {
        Ok(Self { name: format!("_acme-challenge.{host}"), value })
    }

    /// # Errors
    /// It can't be set.
    pub(super) async fn set(&self, dns: &Dns) -> Result<(), Failure> {
        match &dns.how {
            DnsHow::Exec { command } => exec::run(command, "present", &self.name, &self.value).await,
            DnsHow::Update { .. } => Err(Failure::new(Class::Local, "not yet")),
        }
    }

    /// # Errors
    /// It can't be taken away.
    pub(super) async fn remove(&self, dns: &Dns) -> Result<(), Failure> {
        match &dns.how {
            DnsHow::Exec { command } => exec::run(command, "cleanup", &self.name, &self.value).await,
            DnsHow::Update { .. } => Err(Failure::new(Class::Local, "not yet")),
        }
    }

    /// Waits until it can be seen.
    ///
    /// # Errors
    /// It can't be seen after its time.
    pub(super) async fn visible(&self, _dns: &Dns) -> Result<(), Failure> {
        Ok(())
    }
}
