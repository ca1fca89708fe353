//! What stays in a store of certificates that nobody wants any more: kept for a while, then taken away.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::Moment;
use super::bundle::Bundle;
use super::clock::EARLIEST;
use super::context::Context;
use super::state::State;
use super::store::{Key, Store, StoreError, get_json};

/// How long after its end a certificate that nobody wants is kept. A configuration that was taken back finds it until then,
/// and so does whoever wants to know what was served.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Of an order that isn't finished.
#[derive(Deserialize)]
struct Begun {
    at: Moment,
}

/// All certificates of which a store has anything, by their ids.
pub(super) async fn ids(store: &dyn Store) -> Vec<String> {
    let mut ids: BTreeSet<String> = store.list("certs").await.unwrap_or_default().into_iter().collect();
    for directory in ["state", "orders"] {
        let names = store.list(directory).await.unwrap_or_default();
        ids.extend(names.iter().filter_map(|name| name.strip_suffix(".json").map(str::to_owned)));
    }
    ids.into_iter().collect()
}

/// The certificates that a store has, by their ids, with their names.
pub(super) type Shelf = Vec<(String, Vec<String>)>;

/// Looks at the names of all certificates. Their states tell them for less than they do themselves.
pub(super) async fn shelf(store: &dyn Store) -> Shelf {
    let mut shelf = Shelf::new();
    for id in store.list("certs").await.unwrap_or_default() {
        let names = match get_json::<State>(store, &Key::state(&id)).await {
            Ok(Some((state, _))) if !state.names.is_empty() => state.names,
            _ => match Bundle::load(store, &id).await {
                Ok(Some(bundle)) => bundle.certificate.names.to_vec(),
                _ => continue,
            },
        };
        shelf.push((id, names));
    }
    shelf
}

/// Takes away all that a store has of a certificate that isn't wanted here, if it has been useless for long enough.
pub(super) async fn remove(context: &Context, id: &str) {
    match remove_if_old(context, id).await {
        Ok(true) => tracing::info!(id, "taken out of the store: it ended long ago, and no site wants it"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, id, "stays in the store, though no site wants it"),
    }
}

async fn remove_if_old(context: &Context, id: &str) -> Result<bool, StoreError> {
    let (store, now) = (&*context.store, context.now());
    // Another instance that does want it may be at it.
    let Some(lease) = store.lease(id).await? else { return Ok(false) };
    let last = match last_useful(store, id, now).await? {
        Some(last) if now >= EARLIEST => last,
        _ => return Ok(false),
    };
    if now.since(last) <= KEPT_FOR {
        return Ok(false);
    }
    for key in [Key::order(id), Key::bundle(id), Key::previous(id), Key::state(id)] {
        store.delete(&key).await?;
    }
    store.retire(id, lease).await?;
    Ok(true)
}

/// Until when what the store has was, or will be, of use. `None`: nobody knows, since it is damaged or empty.
async fn last_useful(store: &dyn Store, id: &str, now: Moment) -> Result<Option<Moment>, StoreError> {
    let mut moments = Vec::new();
    let bundle = Bundle::load(store, id).await?;
    if bundle.is_none() && store.get(&Key::bundle(id)).await?.is_some() {
        return Ok(None);
    }
    moments.extend(bundle.map(|bundle| bundle.validity.not_after));
    if let Some((begun, _)) = get_json::<Begun>(store, &Key::order(id)).await? {
        moments.push(begun.at);
    }
    if let Some((state, _)) = get_json::<State>(store, &Key::state(id)).await? {
        moments.extend(state.trouble.iter().map(|trouble| trouble.until));
        moments.extend(state.issued.into_iter().chain(state.asked));
    }
    // What lies ahead by a clock that was wrong then lies ahead for ever: it says nothing.
    moments.retain(|moment| *moment <= now + FARTHEST);
    Ok(moments.into_iter().max())
}

/// No certificate, and no wait, ends later than this.
const FARTHEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::acme::clock::{Clock, Manual};
    use crate::acme::failure::{Class, Failure};
    use crate::acme::store::{Files, put_json};
    use crate::config::KeyType;
    use crate::tls;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    struct Shelf {
        _directory: TempDir,
        clock: Arc<Manual>,
        context: Context,
    }

    impl Shelf {
        fn new() -> Self {
            let directory = TempDir::new().unwrap();
            let clock = Manual::at(Moment::now());
            let store = Arc::new(Files::open(directory.path()).unwrap());
            let context = Context::new(store, tls::Store::new(), Clock::Manual(Arc::clone(&clock)));
            Self { _directory: directory, clock, context }
        }

        /// Good for 90 days.
        async fn put_certificate(&self, id: &str) {
            let made = tls::self_signed(&[format!("{id}.test")]).unwrap();
            let bundle = Bundle::of(id, &made.key_pem, &made.chain_pem).unwrap();
            bundle.save(&*self.context.store, id).await.unwrap();
        }

        async fn after(&self, days: u32) -> Vec<String> {
            self.clock.set(self.clock.now() + days * DAY);
            for id in ids(&*self.context.store).await {
                remove(&self.context, &id).await;
            }
            ids(&*self.context.store).await
        }
    }

    #[tokio::test]
    async fn a_certificate_is_kept_for_thirty_days_after_its_end_and_leaves_nothing_then() {
        let shelf = Shelf::new();
        shelf.put_certificate("a").await;
        assert_eq!(shelf.after(119).await, ["a"]);
        let lease = shelf.context.store.lease("a").await.unwrap();
        assert_eq!(shelf.after(2).await, ["a"], "somebody is at it");
        drop(lease);
        assert_eq!(shelf.after(0).await, Vec::<String>::new());
        assert_eq!(shelf.context.store.list("locks").await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_never_became_a_certificate_is_kept_for_thirty_days_after_its_last_try() {
        let shelf = Shelf::new();
        let mut state = State::new(&["a.b".into()], KeyType::P256, "terms");
        state.failed(&Failure::new(Class::Policy, "no"), "ca", shelf.clock.now(), 0.0);
        put_json(&*shelf.context.store, &Key::state("a"), &state).await.unwrap();
        assert_eq!(shelf.after(30).await, ["a"], "it was to be tried again after a day");
        assert_eq!(shelf.after(2).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_nobody_can_read_is_nobodys_to_remove() {
        let shelf = Shelf::new();
        shelf.context.store.put(&Key::bundle("a"), b"damaged", None).await.unwrap();
        shelf.context.store.put(&Key::state("a"), b"{\"issued\":\"2020-01-01T00:00:00Z\"}", None).await.unwrap();
        assert_eq!(shelf.after(1000).await, ["a"]);
    }

    #[tokio::test]
    async fn a_clock_that_is_known_to_be_wrong_removes_nothing() {
        let shelf = Shelf::new();
        shelf.put_certificate("a").await;
        shelf.clock.set(Moment::from_seconds(0));
        assert_eq!(shelf.after(0).await, ["a"]);
    }
}
