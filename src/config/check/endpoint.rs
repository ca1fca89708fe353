//! `endpoints = […]`, in an upstream or in a file of its own.

use std::collections::HashMap;
use std::num::NonZeroU32;

use super::Checker;
use crate::config::diagnostic::quote;
use crate::config::file::EndpointFile;
use crate::config::model::{Address, Endpoint, EndpointSource};
use crate::config::read::{At, Many};
use crate::config::value::EndpointAddress;

impl Checker<'_> {
    /// Every endpoint that is written rightly; complains about those that stand there twice.
    pub(super) fn endpoint_list(&mut self, files: &Many<EndpointFile>) -> Vec<Endpoint> {
        let mut endpoints = Vec::with_capacity(files.items.len());
        let mut seen = HashMap::new();
        for file in &files.items {
            let Some(address) = &file.address else { continue };
            let source = self.source(file, address);
            if let Some(first) = seen.insert((&address.0, source.clone()), address.place) {
                self.error(format!("endpoint {} stands here twice", quote(&address.0)), address.place, "again")
                    .also(first, "the first")
                    .help("to give it more requests, write `weight`");
            }
            endpoints.push(Endpoint {
                address: address.0.clone(),
                weight: file.weight.non_zero().unwrap_or(NonZeroU32::MIN),
                max_conns: file.max_conns.as_ref().and_then(|n| n.non_zero()),
                backup: file.backup.0,
                down: file.down.0,
                zone: file.zone.as_ref().map(|zone| zone.0.clone()),
                source,
            });
        }
        endpoints
    }

    /// Where its addresses come from, if from anywhere.
    fn source(&mut self, file: &EndpointFile, address: &At<EndpointAddress>) -> Option<EndpointSource> {
        let is_address = address.0.parse::<Address>().is_ok();
        let (host, port) = address.0.rsplit_once(':')?;
        if let Some(service) = &file.service {
            if is_address {
                self.error("an address has no SRV records", service.place, "needs a name")
                    .also(address.place, "the address");
            } else if self.has_port(address) {
                self.error("the port comes from the SRV records", address.place, "has a port")
                    .also(service.place, "because of this")
                    .help(format!("write \"{host}\""));
            }
            return Some(EndpointSource::Service { name: service.of(host) });
        }
        if !file.resolve.0 {
            return None;
        }
        if is_address {
            self.warn("there is nothing to resolve", file.resolve.place, "changes nothing")
                .also(address.place, "an address already");
            return None;
        }
        Some(EndpointSource::Addresses { host: host.to_owned(), port: port.parse().ok()? })
    }

    /// Whether a port is written behind the name, and not only meant.
    fn has_port(&self, address: &At<EndpointAddress>) -> bool {
        let text = self.sources.get(address.place.source).map_or("", |source| source.text.as_str());
        let written = text.get(address.place.start..address.place.end).unwrap_or_default();
        written.contains(':') || !address.0.ends_with(":80")
    }
}
