//! What a certificate begins with: what the store has of it, or something that stands in.

use super::Service;
use super::entry::Entry;
use crate::acme::attempt::read;
use crate::acme::backoff;
use crate::acme::bundle::Bundle;
use crate::acme::leftovers::{self, Shelf};
use crate::acme::state::State;
use crate::acme::wanted::Wanted;
use crate::tls::{self, Slot};

impl Service {
    /// `shelf` is what the store has, once somebody has needed to know.
    pub(super) async fn load(&self, wanted: Wanted, shelf: &mut Option<Shelf>) -> Entry {
        let slot = self.context.certificates.slot(&wanted.id);
        let now = self.context.now();
        let mut store_failures = 0;
        let (state, bundle) = match read(&self.context, &wanted).await {
            Ok(there) => there,
            Err(error) => {
                tracing::error!(%error, site = &*wanted.site, "the certificate store can't be read");
                self.context.board.store_failed();
                store_failures = 1;
                (State::new(&wanted.names, wanted.key(), &wanted.terms), None)
            }
        };
        match &bundle {
            Some(bundle) => {
                if bundle.validity.is_over(now) {
                    tracing::warn!(site = &*wanted.site, not_after = %bundle.validity.not_after, "the certificate has expired");
                }
                slot.put(bundle.certificate.clone());
            }
            None => self.stand_in(&wanted, &slot, shelf).await,
        }
        let not_before = (store_failures > 0).then(|| now + backoff::wait_for_store(store_failures));
        Entry { not_before, store_failures, ..Entry::new(wanted, slot, state, bundle) }
    }

    /// Something for clients to see until there is a certificate: one that names some of the hosts, or one that nobody
    /// vouches for.
    async fn stand_in(&self, wanted: &Wanted, slot: &Slot, shelf: &mut Option<Shelf>) {
        if slot.certificate().is_some() {
            return;
        }
        let shelf = match shelf {
            Some(shelf) => shelf,
            None => shelf.insert(leftovers::shelf(&*self.context.store).await),
        };
        let mut best: Option<(usize, Bundle)> = None;
        for (id, _) in shelf.iter().filter(|(_, names)| wanted.names.iter().any(|name| names.contains(name))) {
            let Ok(Some(bundle)) = Bundle::load(&*self.context.store, id).await else { continue };
            let covered = wanted.names.iter().filter(|name| bundle.certificate.names.contains(name)).count();
            let live = !bundle.validity.is_over(self.context.now());
            if live && covered > best.as_ref().map_or(0, |(covered, _)| *covered) {
                best = Some((covered, bundle));
            }
        }
        if let Some((_, bundle)) = best {
            return slot.put_stand_in(bundle.certificate);
        }
        tracing::warn!(site = &*wanted.site, "no certificate yet: a self-signed one stands in, which clients refuse");
        let made = tls::self_signed(&wanted.names).ok();
        let loaded = made.and_then(|made| Bundle::of("self-signed", &made.key_pem, &made.chain_pem).ok());
        match loaded {
            Some(bundle) => slot.put_stand_in(bundle.certificate),
            None => tracing::error!(site = &*wanted.site, "no self-signed certificate can be made"),
        }
    }
}
