//! Which challenge is answered, and having its answer ready where the CA looks.

use std::time::Duration;

use instant_acme::{AuthorizedIdentifier, ChallengeType, Identifier};
use serde::{Deserialize, Serialize};

use super::Moment;
use super::context::Context;
use super::dns::Record;
use super::failure::Failure;
use super::store::{Key, put_json};
use crate::config::{ChallengeKind, Dns, SiteAcme};
use crate::tls::{Sought, reverse_name};

/// An answer that is ready; to be withdrawn.
pub(super) struct Offer(What);

enum What {
    Listener { sought: Sought, key: Key },
    Record { dns: Dns, record: Record },
}

/// `challenges/*/*`
#[derive(Serialize, Deserialize)]
struct Stored {
    key_authorization: String,
    made: Moment,
}

/// Answers that nobody has withdrawn after this belong to an instance that is no more.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Which of the challenges offered for a name is answered. After failures it is another one.
pub(super) fn choose(
    how: &SiteAcme,
    name: &AuthorizedIdentifier<'_>,
    offered: &[ChallengeType],
    failures: u32,
) -> Option<ChallengeKind> {
    let is_ip = matches!(name.identifier, Identifier::Ip(_));
    let possible = |kind: &&ChallengeKind| {
        let fits = match kind {
            ChallengeKind::Dns01 => !is_ip && how.dns.is_some(),
            ChallengeKind::Http01 | ChallengeKind::TlsAlpn01 => !name.wildcard,
        };
        fits && offered.contains(&type_of(**kind))
    };
    let possible: Vec<ChallengeKind> = how.challenges.iter().filter(possible).copied().collect();
    possible.get(failures as usize % possible.len().max(1)).copied()
}

pub(super) fn type_of(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}

/// Makes an answer ready on this instance and, through the store, on all others.
///
/// # Errors
/// The store can't be written, or the record can't be set.
pub(super) async fn offer(
    context: &Context,
    how: &SiteAcme,
    kind: ChallengeKind,
    name: &Identifier,
    token: &str,
    key_authorization: &str,
    dns_value: String,
) -> Result<Offer, Failure> {
    let host = match name {
        Identifier::Ip(ip) => reverse_name(*ip),
        Identifier::Dns(name) => name.to_ascii_lowercase(),
        _ => return Err(Failure::local("an identifier that is neither name nor address")),
    };
    let (sought, key) = match kind {
        ChallengeKind::Http01 => (Sought::Http01(token.to_owned()), Key::http01(token)),
        ChallengeKind::TlsAlpn01 => (Sought::TlsAlpn01(host.clone()), Key::tls_alpn01(&host)),
        ChallengeKind::Dns01 => {
            let dns = how.dns.clone().ok_or_else(|| Failure::local("nobody sets records"))?;
            let record = Record::of(&dns, &host, dns_value).await?;
            record.set(&dns).await?;
            return Ok(Offer(What::Record { dns, record }));
        }
    };
    let stored = Stored { key_authorization: key_authorization.to_owned(), made: context.now() };
    put_json(&*context.store, &key, &stored).await.map_err(Failure::local)?;
    context.certificates.challenges().offer(&sought, key_authorization).map_err(Failure::local)?;
    Ok(Offer(What::Listener { sought, key }))
}

impl Offer {
    /// Waits until the CA can see it.
    ///
    /// # Errors
    /// A record that can't be seen after its time.
    pub(super) async fn visible(&self) -> Result<(), Failure> {
        match &self.0 {
            What::Listener { .. } => Ok(()),
            What::Record { dns, record } => record.visible(dns).await,
        }
    }

    pub(super) async fn withdraw(self, context: &Context) {
        match self.0 {
            What::Listener { sought, key } => {
                context.certificates.challenges().withdraw(&sought);
                if let Err(error) = context.store.delete(&key).await {
                    tracing::warn!(%error, "the answer to a challenge stays in the store");
                }
            }
            What::Record { dns, record } => {
                if let Err(failure) = record.remove(&dns).await {
                    tracing::warn!("the record of a challenge stays: {failure}");
                }
            }
        }
    }
}

/// What another instance has to answer.
pub(super) async fn find(context: &Context, sought: &Sought) -> Option<String> {
    let key = match sought {
        Sought::Http01(token) => Key::http01(token),
        Sought::TlsAlpn01(name) => Key::tls_alpn01(name),
    };
    let value = context.store.get(&key).await.ok()??;
    serde_json::from_slice::<Stored>(&value.bytes).ok().map(|stored| stored.key_authorization)
}

/// Takes away what instances that are no more have left.
pub(super) async fn sweep(context: &Context) {
    for (directory, is_token) in [("challenges/http-01", true), ("challenges/tls-alpn-01", false)] {
        for name in context.store.list(directory).await.unwrap_or_default() {
            let key = if is_token { Key::http01(&name) } else { Key::tls_alpn01(&name) };
            let Ok(Some(value)) = context.store.get(&key).await else { continue };
            let stored = serde_json::from_slice::<Stored>(&value.bytes);
            if stored.is_ok_and(|stored| context.now().since(stored.made) > ABANDONED) {
                // Another instance may have been quicker.
                let _ = context.store.delete(&key).await;
            }
        }
    }
}
