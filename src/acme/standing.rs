//! How a store's certificates stand, for people and their scripts.

use serde::Serialize;

use super::Moment;
use super::attempt::read;
use super::bundle::Bundle;
use super::context::Context;
use super::state::{Phase, Refused, State, Trouble};
use super::store::{Key, StoreError};
use super::wanted::{Wanted, Wants};
use crate::config::Config;

/// One certificate.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    pub id: String,
    /// `None`: no site wants it any more.
    pub site: Option<String>,
    pub names: Vec<String>,
    pub key: &'static str,
    pub state: Phase,
    /// The CA that issued it.
    pub issuer: Option<String>,
    pub not_before: Option<Moment>,
    pub not_after: Option<Moment>,
    /// As RFC 9773 names it.
    pub certificate: Option<String>,
    /// When something is tried next, and why.
    pub next: Next,
    pub trouble: Option<Trouble>,
    /// Names that it is got without.
    pub refused: Vec<(String, Refused)>,
    /// The CA's suggestion.
    pub suggested: Option<Moment>,
}

/// When something is tried next.
#[derive(Clone, Debug, Serialize)]
pub struct Next {
    /// `None`: never by itself.
    pub at: Option<Moment>,
    pub why: String,
}

/// All that the configuration wants, and what else is in the store.
///
/// # Errors
/// The store can't be read.
pub async fn all(context: &Context, config: &Config) -> Result<Vec<Standing>, StoreError> {
    let wants = Wants::of(config);
    let mut standings = Vec::new();
    for wanted in &wants.certificates {
        standings.push(of(context, wanted).await?);
    }
    let mut others = context.store.list("certs").await?;
    others.sort();
    for id in others.into_iter().filter(|id| !wants.certificates.iter().any(|wanted| wanted.id == *id)) {
        let Some(bundle) = Bundle::load(&*context.store, &id).await? else { continue };
        standings.push(match wants.got_on_demand(&id, &bundle.certificate.names) {
            Some(wanted) => of(context, &wanted).await?,
            None => of_other(context, id, bundle).await?,
        });
    }
    Ok(standings)
}

/// One that the configuration wants.
///
/// # Errors
/// The store can't be read.
pub async fn of(context: &Context, wanted: &Wanted) -> Result<Standing, StoreError> {
    let now = context.now();
    let (state, bundle) = read(context, wanted).await?;
    // Whoever orders holds the lease; a store that can't be written has nobody.
    let ordering = matches!(context.store.lease(&wanted.id).await, Ok(None));
    let there = bundle.as_ref().map(|bundle| (bundle.validity, bundle.fingerprint));
    let due = state.next(there, now);
    let why = match &state.trouble {
        Some(trouble) => format!("{}: {}", trouble.issuer, trouble.detail),
        None if ordering => "an order is under way".to_owned(),
        None if there.is_none() => "there is none yet".to_owned(),
        None => due.why.text().to_owned(),
    };
    let next = Next { at: Some(due.at.max(now)), why };
    Ok(standing(wanted.id.clone(), Some(wanted.site.to_string()), state, bundle, ordering, next, now))
}

async fn of_other(context: &Context, id: String, bundle: Bundle) -> Result<Standing, StoreError> {
    let state = super::store::get_json::<State>(&*context.store, &Key::state(&id)).await?.map(|(state, _)| state);
    let next = Next { at: None, why: "no site names it".to_owned() };
    let state = state.unwrap_or_default();
    Ok(standing(id, None, state, Some(bundle), false, next, context.now()))
}

fn standing(
    id: String,
    site: Option<String>,
    state: State,
    bundle: Option<Bundle>,
    ordering: bool,
    next: Next,
    now: Moment,
) -> Standing {
    let validity = bundle.as_ref().map(|bundle| bundle.validity);
    let names = bundle.as_ref().map_or_else(|| state.names.clone(), |bundle| bundle.certificate.names.to_vec());
    Standing {
        id,
        site,
        names,
        key: state.key.name(),
        state: state.phase(validity, ordering, now),
        issuer: state.issuer,
        not_before: validity.map(|validity| validity.not_before),
        not_after: validity.map(|validity| validity.not_after),
        certificate: state.certificate,
        next,
        trouble: state.trouble,
        refused: state.refused.into_iter().collect(),
        suggested: state.suggestion.chosen,
    }
}
