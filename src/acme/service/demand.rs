//! Certificates on demand: hearing wishes, asking who may, and letting clients know.

use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use super::{MOST_WISHES, Service};
use tokio::sync::oneshot;

use crate::acme::Moment;
use crate::acme::attempt::read;
use crate::acme::bundle::Bundle;
use crate::acme::context::Context;
use crate::acme::on_demand::{Verdict, ask, is_certifiable};
use crate::acme::state::State;
use crate::acme::wanted::Wanted;
use crate::config::Ask;
use crate::tls::Wish;

/// What is known of a host that a client wants a certificate for.
pub(super) struct Asked {
    wanted: Wanted,
    state: State,
    bundle: Option<Bundle>,
    /// `None`: nobody needed to be asked.
    verdict: Option<Verdict>,
}

/// Hosts that are asked about at once.
const MOST_ASKED: usize = 16;
/// Clients that wait for one host. More of them get none, and may come again.
const MOST_WAITING: usize = 1000;
/// A host that may have no certificate any more is asked about again, before the renewal that it would have had.
const NOT_ALLOWED_FOR: Duration = Duration::from_secs(24 * 3600);
const NOT_KNOWN_FOR: Duration = Duration::from_secs(3600);

impl Service {
    /// A client waits for a host's certificate. Asks whether the host may have one, unless that is known; `asking` are asked
    /// about already.
    pub(super) fn hear(&mut self, wish: Wish, asking: usize) -> Option<impl Future<Output = Asked> + use<>> {
        let Wish { site, host, done } = wish;
        let now = self.context.now();
        if !is_certifiable(&host) || self.gatekeeper.denies(&host, now) {
            return None;
        }
        let wanted = self.wants.host(&site, &host)?;
        if let Some(entry) = self.entries.get(&wanted.id) {
            // It is being got, or has just come.
            if entry.bundle.is_none() {
                wait_too(self.waiting.entry(wanted.id).or_default(), done);
            }
            return None;
        }
        let by = self.wants.ask.clone()?;
        if let Some(waiting) = self.waiting.get_mut(&wanted.id) {
            wait_too(waiting, done);
            return None;
        }
        if asking >= MOST_ASKED || self.waiting.len() >= MOST_WISHES {
            return None;
        }
        self.waiting.insert(wanted.id.clone(), vec![done]);
        Some(look_and_ask(Arc::clone(&self.context), wanted, by, host))
    }

    /// Begins to get a host's certificate, or lets its clients go without.
    pub(super) fn decide(&mut self, asked: Asked) {
        let Asked { wanted, state, bundle, verdict } = asked;
        let host = wanted.names.first().cloned().unwrap_or_default();
        let allowed = bundle.is_some() || verdict.is_some_and(|verdict| self.is_allowed(&wanted, &host, &verdict));
        // A reload may want it otherwise by now.
        let wanted_still = self.wants.got_on_demand(&wanted.id, &wanted.names).is_some();
        let slot = if allowed && wanted_still { self.context.certificates.demand().slot(&host) } else { None };
        let Some(slot) = slot else {
            self.waiting.remove(&wanted.id);
            return;
        };
        let id = wanted.id.clone();
        if let Some(bundle) = &bundle {
            slot.put(bundle.certificate.clone());
            self.waiting.remove(&id);
        }
        self.entries.entry(id).or_insert_with(|| Entry::new(wanted, slot, state, bundle));
    }

    fn is_allowed(&mut self, wanted: &Wanted, host: &str, verdict: &Verdict) -> bool {
        let now = self.context.now();
        let site = &*wanted.site;
        self.gatekeeper.remember(host, verdict, now);
        match verdict {
            Verdict::Allowed if self.gatekeeper.admit(now) => true,
            Verdict::Allowed => {
                tracing::warn!(host, site, "too many new certificates in a minute: this one waits");
                false
            }
            Verdict::Denied => {
                tracing::info!(host, site, "may have no certificate");
                false
            }
            Verdict::Unknown(why) => {
                tracing::warn!(host, site, "nobody says whether it may have a certificate: {why}");
                false
            }
        }
    }

    /// Lets the clients know that have waited. A host that got none, or may have none any more, is forgotten.
    pub(super) fn after_demand(&mut self, id: &str, now: Moment) {
        let Some(entry) = self.entries.get(id).filter(|entry| entry.wanted.how.on_demand) else { return };
        if entry.bundle.is_none() && entry.state.trouble.is_none() {
            // Another instance has begun it.
            return;
        }
        self.waiting.remove(id);
        if entry.bundle.as_ref().is_none_or(|bundle| bundle.validity.is_over(now)) {
            if let Some(host) = entry.wanted.names.first() {
                self.context.certificates.demand().remove(host);
            }
            self.entries.remove(id);
            self.context.board.keep(|other| other != id);
        }
    }
}

/// A host that has a certificate in the store, or waits after a failure, isn't asked about.
async fn look_and_ask(context: Arc<Context>, wanted: Wanted, by: Ask, host: String) -> Asked {
    let (state, bundle) = match read(&context, &wanted).await {
        Ok(there) => there,
        Err(error) => {
            tracing::error!(%error, host, "the certificate store can't be read");
            (State::new(&wanted.names, wanted.key(), &wanted.terms), None)
        }
    };
    let bundle = bundle.filter(|bundle| !bundle.validity.is_over(context.now()));
    let waits = state.trouble.as_ref().is_some_and(|trouble| trouble.until > context.now());
    let verdict = match bundle.is_some() || waits {
        true => None,
        false => Some(ask(&by, &host).await),
    };
    Asked { wanted, state, bundle, verdict }
}

/// Clients that have given up make room for others.
fn wait_too(waiting: &mut Vec<oneshot::Sender<()>>, done: oneshot::Sender<()>) {
    if waiting.len() >= MOST_WAITING {
        waiting.retain(|done| !done.is_closed());
    }
    if waiting.len() < MOST_WAITING {
        waiting.push(done);
    }
}

/// Until when a certificate that was got on demand isn't renewed: its host may have none any more.
pub(super) async fn refused_until(
    context: &Context,
    wanted: &Wanted,
    bundle: Option<&Bundle>,
    by: Option<&Ask>,
) -> Option<Moment> {
    // One that isn't there yet has been asked about just now.
    let (Some(_), Some(by), true) = (bundle, by, wanted.how.on_demand) else { return None };
    match ask(by, wanted.names.first()?).await {
        Verdict::Allowed => None,
        Verdict::Denied => Some(context.now() + NOT_ALLOWED_FOR),
        Verdict::Unknown(_) => Some(context.now() + NOT_KNOWN_FOR),
    }
}
