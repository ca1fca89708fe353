//! Rounds through the store: what was got on demand before a restart is kept again, and what nobody has wanted for long is
//! taken away.

use std::time::{Duration, Instant};

use super::Service;
use super::entry::Entry;
use crate::acme::attempt::read;
use crate::acme::bundle::Bundle;
use crate::acme::leftovers;

/// Certificates that are looked at before others have their turn.
const AT_A_TIME: usize = 16;
/// A clock that is wrong when the machine starts has been set by then: what has expired under it may not have.
const FIRST: Duration = Duration::from_secs(3600);
const APART: Duration = Duration::from_secs(24 * 3600);

/// When rounds are made, by the process's own time.
pub(super) struct Rounds {
    next: Instant,
    may_remove: bool,
}

impl Rounds {
    pub(super) fn begin() -> Self {
        Self { next: Instant::now() + FIRST, may_remove: false }
    }

    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        *self = Self { next: now + APART, may_remove: true };
        true
    }

    pub(super) fn may_remove(&self) -> bool {
        self.may_remove
    }
}

impl Service {
    /// Sees whether the store can be written, so that somebody knows before a certificate is due.
    pub(super) async fn try_store(&self) {
        if let Err(error) = self.context.changed().await {
            tracing::error!(%error, "the certificate store can't be written: nothing can be ordered");
            self.context.board.store_failed();
        }
    }

    pub(super) async fn begin_round(&mut self) {
        self.round = leftovers::ids(&*self.context.store).await.into();
    }

    /// Goes on with a round.
    pub(super) async fn go_on_with_round(&mut self, may_remove: bool) {
        for _ in 0..AT_A_TIME {
            let Some(id) = self.round.pop_front() else { return };
            if self.entries.contains_key(&id) || self.waiting.contains_key(&id) {
                continue;
            }
            match Bundle::load(&*self.context.store, &id).await {
                Ok(Some(bundle)) if !bundle.validity.is_over(self.context.now()) => self.resume(&id, bundle).await,
                Ok(_) if may_remove => leftovers::remove(&self.context, &id).await,
                _ => {}
            }
        }
    }

    /// Keeps a certificate that was got on demand, as if its host had been asked for: so that it is renewed though no client
    /// comes before it is due.
    async fn resume(&mut self, id: &str, bundle: Bundle) {
        let Some(wanted) = self.wants.got_on_demand(id, &bundle.certificate.names) else { return };
        let Ok((state, _)) = read(&self.context, &wanted).await else { return };
        let slot = wanted.names.first().and_then(|host| self.context.certificates.demand().slot(host));
        let Some(slot) = slot else { return };
        slot.put(bundle.certificate.clone());
        self.entries.insert(id.to_owned(), Entry::new(wanted, slot, state, Some(bundle)));
    }
}
