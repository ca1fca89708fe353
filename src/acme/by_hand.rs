//! What an operator asks for: a renewal now, a revocation.
//!
//! Done by the process that was asked, under the same leases as a running server: its instances answer the challenges and
//! take over what came.

use std::time::Duration;

use instant_acme::{RevocationReason, RevocationRequest};

use super::account;
use super::attempt::{attempt, read};
use super::bundle::Bundle;
use super::classify::classify;
use super::context::Context;
use super::failure::Failure;
use super::state::State;
use super::store::{Key, put_json};
use super::wanted::Wanted;

/// Another instance's order is waited for this long.
const OTHERS_TAKE_AT_MOST: u32 = 150;

/// Gets a new certificate now, whatever was waited for.
///
/// # Errors
/// Why there is none.
pub async fn renew(context: &Context, wanted: &Wanted) -> Result<Bundle, Failure> {
    let (before, _) = ask(context, wanted).await?;
    let before = before.map(|bundle| bundle.fingerprint);
    for _ in 0..OTHERS_TAKE_AT_MOST {
        let outcomes = attempt(context, wanted).await.map_err(Failure::local)?;
        if let Some(bundle) = outcomes.bundle.filter(|bundle| Some(bundle.fingerprint) != before) {
            if outcomes.unsaved {
                return Err(Failure::local("it was issued, and there is no room to store it"));
            }
            return Ok(bundle);
        }
        match (outcomes.not_before, outcomes.state.trouble) {
            (_, Some(trouble)) => {
                return Err(Failure::new(trouble.class, format!("{}: {}", trouble.issuer, trouble.detail)));
            }
            (Some(_), None) => tokio::time::sleep(Duration::from_secs(2)).await,
            (None, None) => return Err(Failure::local("nothing was due")),
        }
    }
    Err(Failure::local("another instance has been at it for five minutes"))
}

/// Revokes a certificate, and has another one got.
///
/// # Errors
/// There is none, or the CA refuses.
pub async fn revoke(context: &Context, wanted: &Wanted, reason: RevocationReason) -> Result<(), Failure> {
    let (state, bundle) = read(context, wanted).await.map_err(Failure::local)?;
    let bundle = bundle.ok_or_else(|| Failure::local("there is no certificate to revoke"))?;
    let issuer = wanted.how.issuers.iter().find(|issuer| Some(&*issuer.name) == state.issuer.as_deref());
    let issuer = issuer.ok_or_else(|| {
        let name = state.issuer.as_deref().unwrap_or("nobody knows whom");
        Failure::local(format!("it is from {name}, which isn't among its `issuers`"))
    })?;
    let client = context.client(issuer);
    let account = account::open(context, issuer, &issuer.directory, &client).await?;
    let leaf = bundle.certificate.key.cert.first().ok_or_else(|| Failure::local("the certificate is empty"))?;
    let request = RevocationRequest { certificate: leaf, reason: Some(reason) };
    account
        .revoke(&request)
        .await
        .map_err(|error| classify(&error, &client.last()).while_doing("the CA doesn't revoke it"))?;
    // With a new key: an order that was begun has the old one at most.
    context.store.delete(&Key::order(&wanted.id)).await.map_err(Failure::local)?;
    ask(context, wanted).await?;
    context.changed().await.map_err(Failure::local)
}

/// Notes that a renewal is asked for.
async fn ask(context: &Context, wanted: &Wanted) -> Result<(Option<Bundle>, State), Failure> {
    for _ in 0..OTHERS_TAKE_AT_MOST {
        let Some(_lease) = context.store.lease(&wanted.id).await.map_err(Failure::local)? else {
            tokio::time::sleep(Duration::from_secs(2)).await;
            continue;
        };
        let (mut state, bundle) = read(context, wanted).await.map_err(Failure::local)?;
        state.asked = Some(context.now());
        state.trouble = None;
        put_json(&*context.store, &Key::state(&wanted.id), &state).await.map_err(Failure::local)?;
        return Ok((bundle, state));
    }
    Err(Failure::local("another instance has been at it for five minutes"))
}
