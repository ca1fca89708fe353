//! One attempt at a certificate: under its lease, at the CAs in their order.

use std::time::Duration;

use super::backoff;
use super::board::Outcome;
use super::bundle::Bundle;
use super::client::Client;
use super::clock::EARLIEST;
use super::context::{Context, chance};
use super::failure::{Class, Failure};
use super::order::Job;
use super::state::State;
use super::store::{Key, StoreError, get_json, put_json};
use super::wanted::Wanted;
use super::{Moment, ari};
use crate::config::Issuer;

/// What came of it.
pub struct Outcomes {
    pub state: State,
    pub bundle: Option<Bundle>,
    /// The store has no place for the certificate: it is to be stored later.
    pub unsaved: bool,
    /// Something couldn't be written.
    pub store_failed: bool,
    /// Not before this, for a reason that isn't in the state.
    pub not_before: Option<Moment>,
}

impl Outcomes {
    /// There was nothing to do.
    pub fn none(state: State, bundle: Option<Bundle>) -> Self {
        Self { state, bundle, unsaved: false, store_failed: false, not_before: None }
    }

    /// Somebody else is at it.
    fn leased_elsewhere(state: State, bundle: Option<Bundle>, now: Moment) -> Self {
        Self { not_before: Some(now + LEASED_ELSEWHERE), ..Self::none(state, bundle) }
    }
}

/// How soon somebody else's lease is looked at again.
const LEASED_ELSEWHERE: Duration = Duration::from_secs(2);
/// For what has no time of its own.
const LATER: Duration = Duration::from_secs(60);

/// Reads what the store has of a certificate.
///
/// # Errors
/// It can't be read.
pub async fn read(context: &Context, wanted: &Wanted) -> Result<(State, Option<Bundle>), StoreError> {
    let store = &*context.store;
    let state = match get_json::<State>(store, &Key::state(&wanted.id)).await? {
        Some((state, _)) => state.under(&wanted.names, wanted.key(), &wanted.terms),
        None => State::new(&wanted.names, wanted.key(), &wanted.terms),
    };
    Ok((state, Bundle::load(store, &wanted.id).await?))
}

/// Gets the certificate if that is due, or what another instance has got meanwhile.
///
/// # Errors
/// The store can't be used: nobody has been asked.
pub async fn attempt(context: &Context, wanted: &Wanted) -> Result<Outcomes, StoreError> {
    let (state, bundle) = read(context, wanted).await?;
    let Some(_lease) = context.store.lease(&wanted.id).await? else {
        return Ok(Outcomes::leased_elsewhere(state, bundle, context.now()));
    };
    // What was read before the lease may be old.
    let (mut state, bundle) = read(context, wanted).await?;
    let now = context.now();
    let there = bundle.as_ref().map(|bundle| (bundle.validity, bundle.fingerprint));
    let due = state.next(there, now);
    let mut outcomes = Outcomes::none(state.clone(), bundle);
    if due.at > now {
        return Ok(outcomes);
    }
    if now < EARLIEST {
        tracing::error!(clock = %now, "the clock is wrong: no certificate is got before it is set");
        outcomes.not_before = Some(now + LATER);
        return Ok(outcomes);
    }
    match at_each_issuer(context, wanted, &mut state, outcomes.bundle.as_ref()).await {
        Tried::Issued { bundle, issuer } => {
            let identifier = bundle.identifier().map(|identifier| identifier.to_string());
            state.issued(&issuer, identifier, &bundle.certificate.names, due.why, context.now());
            outcomes.unsaved = !save(context, wanted, &bundle, &state).await;
            outcomes.store_failed = outcomes.unsaved;
            tracing::info!(
                site = &*wanted.site,
                names = bundle.certificate.names.join(" "),
                issuer,
                not_after = %bundle.validity.not_after,
                why = due.why.text(),
                "a certificate was issued"
            );
            context.board.count(&wanted.site, Outcome::Issued);
            outcomes.bundle = Some(*bundle);
        }
        Tried::Failed => {
            if let Some(trouble) = &state.trouble {
                tracing::warn!(
                    site = &*wanted.site,
                    issuer = trouble.issuer,
                    class = trouble.class.name(),
                    next_try = %trouble.until,
                    "no certificate: {}",
                    trouble.detail
                );
            }
            outcomes.store_failed = !write_state(context, wanted, &state).await;
        }
        Tried::NotNow { until } => outcomes.not_before = Some(until),
    }
    outcomes.state = state;
    Ok(outcomes)
}

/// Stores a certificate that there was no place for when it came, unless another instance has stored a newer one.
///
/// # Errors
/// The store can't be used.
pub async fn save_late(
    context: &Context,
    wanted: &Wanted,
    bundle: Bundle,
    state: State,
) -> Result<Outcomes, StoreError> {
    let Some(_lease) = context.store.lease(&wanted.id).await? else {
        let outcomes = Outcomes::leased_elsewhere(state, Some(bundle), context.now());
        return Ok(Outcomes { unsaved: true, ..outcomes });
    };
    let (state_there, there) = read(context, wanted).await?;
    if let Some(there) = there.filter(|there| there.validity.not_before > bundle.validity.not_before) {
        return Ok(Outcomes::none(state_there, Some(there)));
    }
    let unsaved = !save(context, wanted, &bundle, &state).await;
    Ok(Outcomes { unsaved, store_failed: unsaved, ..Outcomes::none(state, Some(bundle)) })
}

/// Stores a certificate and what belongs to it; for whoever holds its lease. `false`: there is no place for it.
async fn save(context: &Context, wanted: &Wanted, bundle: &Bundle, state: &State) -> bool {
    if let Err(error) = bundle.save(&*context.store, &wanted.id).await {
        tracing::error!(%error, site = &*wanted.site, "the new certificate is served, and can't be stored: it is tried again");
        return false;
    }
    write_state(context, wanted, state).await;
    if let Err(error) = context.store.delete(&Key::order(&wanted.id)).await {
        tracing::warn!(%error, "an order that is over stays in the store");
    }
    if let Err(error) = context.changed().await {
        // They see it when their own time comes.
        tracing::debug!(%error, "other instances aren't told of a change");
    }
    true
}

/// Asks the CA when it would like a certificate renewed, and notes it.
///
/// # Errors
/// The store can't be read.
pub async fn look(context: &Context, wanted: &Wanted) -> Result<Outcomes, StoreError> {
    let now = context.now();
    let Some(_lease) = context.store.lease(&wanted.id).await? else {
        let (state, bundle) = read(context, wanted).await?;
        return Ok(Outcomes::leased_elsewhere(state, bundle, now));
    };
    let (mut state, bundle) = read(context, wanted).await?;
    if state.suggestion.next_check.is_some_and(|next| next > now && next <= now + 2 * ari::LONGEST_WAIT) {
        // Another instance has asked.
        return Ok(Outcomes::none(state, bundle));
    }
    let issuer = wanted.how.issuers.iter().find(|issuer| Some(&*issuer.name) == state.issuer.as_deref());
    let certificate = bundle.as_ref().and_then(Bundle::identifier);
    let (Some(issuer), Some(bundle_there), Some(certificate)) = (issuer, &bundle, certificate) else {
        state.suggestion.next_check = Some(ari::retry_at(now));
        return Ok(Outcomes::none(state, bundle));
    };
    if context.enter(&issuer.directory).is_err() {
        state.suggestion.next_check = Some(ari::retry_at(now));
        return Ok(Outcomes::none(state, bundle));
    }
    let client: Client = context.client(issuer);
    match ari::ask(&client, &issuer.directory, &certificate.to_string()).await {
        Ok(answer) => {
            context.leave(&issuer.directory, None);
            let before = state.suggestion.chosen;
            state.suggestion.update(answer.window, bundle_there.validity, now, answer.wait, chance());
            if let Some(chosen) = state.suggestion.chosen.filter(|chosen| Some(*chosen) != before) {
                tracing::info!(site = &*wanted.site, issuer = &*issuer.name, at = %chosen, "the CA suggests when to renew");
            }
        }
        Err(failure) => {
            context.leave(&issuer.directory, Some(&failure));
            tracing::debug!("no renewal information: {failure}");
            state.suggestion.next_check = Some(ari::retry_at(now));
        }
    }
    let store_failed = !write_state(context, wanted, &state).await;
    Ok(Outcomes { store_failed, ..Outcomes::none(state, bundle) })
}

/// `false`: there is no place for it.
async fn write_state(context: &Context, wanted: &Wanted, state: &State) -> bool {
    let written = put_json(&*context.store, &Key::state(&wanted.id), state).await;
    if let Err(error) = &written {
        tracing::error!(%error, "the state of a certificate can't be stored: a restart won't know it");
    }
    written.is_ok()
}

enum Tried {
    Issued {
        bundle: Box<Bundle>,
        issuer: String,
    },
    Failed,
    /// All CAs fail whoever asks.
    NotNow {
        until: Moment,
    },
}

async fn at_each_issuer(context: &Context, wanted: &Wanted, state: &mut State, there: Option<&Bundle>) -> Tried {
    let failures = state.failed_validations();
    let mut soonest: Option<(Duration, Failure, &Issuer)> = None;
    let mut closed: Option<Moment> = None;
    for issuer in &wanted.how.issuers {
        if let Err(until) = context.enter(&issuer.directory) {
            closed = Some(closed.map_or(until, |closed| closed.min(until)));
            continue;
        }
        let outcome = at_issuer(context, wanted, state, there, issuer, failures).await;
        context.leave(&issuer.directory, outcome.as_ref().err());
        match outcome {
            Ok(bundle) => return Tried::Issued { bundle: Box::new(bundle), issuer: issuer.name.to_string() },
            Err(failure) => {
                context.board.count(&wanted.site, Outcome::Failed(failure.class));
                let local = failure.class == Class::Local;
                if wanted.how.issuers.len() > 1 {
                    tracing::warn!(
                        site = &*wanted.site,
                        issuer = &*issuer.name,
                        class = failure.class.name(),
                        "{failure}"
                    );
                }
                let wait = backoff::wait(&failure, failures + 1, 0.0);
                if soonest.as_ref().is_none_or(|(soonest, _, _)| wait < *soonest) {
                    soonest = Some((wait, failure, issuer));
                }
                if local {
                    break;
                }
            }
        }
    }
    match (soonest, closed) {
        (Some((_, failure, issuer)), _) => {
            state.failed(&failure, &issuer.name, context.now(), chance());
            Tried::Failed
        }
        (None, closed) => Tried::NotNow { until: closed.unwrap_or_else(|| context.now() + LATER) },
    }
}

async fn at_issuer(
    context: &Context,
    wanted: &Wanted,
    state: &mut State,
    there: Option<&Bundle>,
    issuer: &Issuer,
    failures: u32,
) -> Result<Bundle, Failure> {
    // After a failed validation the next try shall not use up the CA's limits.
    if let Some(staging) = issuer.staging.as_deref().filter(|_| failures > 0) {
        let mut job = Job::new(context, wanted, issuer, staging, state.names_to_order(context.now()));
        job.failures = failures;
        job.rehearse().await.map_err(|failure| failure.while_doing("staging"))?;
    }
    // Names that policy refuses are left out, one refusal after the other.
    for _ in 0..=state.names.len() {
        let mut job = Job::new(context, wanted, issuer, &issuer.directory, state.names_to_order(context.now()));
        job.failures = failures;
        let same_ca = state.issuer.as_deref() == Some(&*issuer.name);
        job.replaces = there.filter(|_| same_ca).and_then(Bundle::identifier);
        match job.run().await {
            Err(failure) if failure.class == Class::Policy => {
                let refused = refused_names(&failure, &job.names);
                if !state.refuse(&refused, &failure.detail, context.now()) {
                    return Err(failure);
                }
                tracing::error!(
                    site = &*wanted.site,
                    issuer = &*issuer.name,
                    names = refused.join(" "),
                    "refused by the CA, and left out of the certificate: {failure}"
                );
            }
            outcome => return outcome,
        }
    }
    Err(Failure::new(Class::Policy, "the CA refuses every name"))
}

/// The names that a refusal is about: those that it gives, or quotes in its words.
fn refused_names(failure: &Failure, ordered: &[String]) -> Vec<String> {
    let about = |name: &&String| match failure.names.is_empty() {
        false => failure.names.contains(*name),
        true => ["\"", "'"].iter().any(|quote| failure.detail.contains(&format!("{quote}{name}{quote}"))),
    };
    ordered.iter().filter(about).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_names_are_those_given_or_quoted() {
        let ordered = ["a.b".to_owned(), "x.a.b".to_owned(), "c.d".to_owned()];
        let quoted = Failure::new(Class::Policy, "policy forbids issuing for: \"a.b\"");
        assert_eq!(refused_names(&quoted, &ordered), ["a.b"]);
        let given = Failure { names: vec!["c.d".into()], ..quoted.clone() };
        assert_eq!(refused_names(&given, &ordered), ["c.d"]);
        assert!(refused_names(&Failure::new(Class::Policy, "no such profile"), &ordered).is_empty());
    }
}
