//! Accounts at CAs: made once for a store, whatever the number of instances.

use std::time::Duration;

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Moment;
use super::classify::classify;
use super::client::Client;
use super::context::Context;
use super::failure::{Class, Failure};
use super::store::{Key, Lease, get_json, put_json};
use super::wanted::ca_of;
use crate::config::Issuer;

/// `accounts/<ca>.json`. The account's key is in it.
#[derive(Serialize, Deserialize)]
struct Stored {
    directory: String,
    contacts: Vec<String>,
    made: Moment,
    /// Null until the CA has given one.
    account: Value,
}

impl Stored {
    fn is(&self, account: &Account) -> bool {
        self.account.get("id").and_then(Value::as_str) == Some(account.id())
    }
}

/// The account at a CA; makes it if there is none.
///
/// # Errors
/// The CA can't be reached, or gives no account.
pub(super) async fn open(
    context: &Context,
    issuer: &Issuer,
    directory: &str,
    client: &Client,
) -> Result<Account, Failure> {
    let key = Key::account(&ca_of(issuer, directory));
    if let Some((account, stored)) = stored(context, &key, client).await? {
        if stored.contacts != *context.contacts()
            && let Err(failure) = tell_contacts(context, issuer, directory, &account, client).await
        {
            // No reason to go without a certificate. The next order tells it again.
            tracing::warn!(issuer = &*issuer.name, "the CA isn't told whom it may write to: {failure}");
        }
        return Ok(account);
    }
    let _lease = lease(context, issuer, directory).await?;
    match stored(context, &key, client).await? {
        Some((account, _)) => Ok(account),
        None => register(context, issuer, directory, client, &key).await,
    }
}

/// Tells a CA, if there is an account at it, whom it may write to from now on. What fails is told with the next order.
pub(super) async fn keep_contacts(context: &Context, issuer: &Issuer) {
    let key = Key::account(&ca_of(issuer, &issuer.directory));
    let there = get_json::<Stored>(&*context.store, &key).await;
    let is_told = |stored: &Stored| stored.contacts == *context.contacts() || stored.account.is_null();
    if !matches!(there, Ok(Some((stored, _))) if !is_told(&stored)) || context.enter(&issuer.directory).is_err() {
        return;
    }
    let outcome = open(context, issuer, &issuer.directory, &context.client(issuer)).await;
    context.leave(&issuer.directory, outcome.as_ref().err());
}

/// Forgets an account that the CA doesn't know, unless another instance has made a new one by now.
///
/// # Errors
/// The store can't be written.
pub(super) async fn forget(
    context: &Context,
    issuer: &Issuer,
    directory: &str,
    unknown: &Account,
) -> Result<(), Failure> {
    let key = Key::account(&ca_of(issuer, directory));
    let _lease = lease(context, issuer, directory).await?;
    let there = get_json::<Stored>(&*context.store, &key).await.map_err(Failure::local)?;
    match there {
        Some((stored, _)) if stored.is(unknown) => context.store.delete(&key).await.map_err(Failure::local),
        _ => Ok(()),
    }
}

async fn tell_contacts(
    context: &Context,
    issuer: &Issuer,
    directory: &str,
    account: &Account,
    client: &Client,
) -> Result<(), Failure> {
    let key = Key::account(&ca_of(issuer, directory));
    let _lease = lease(context, issuer, directory).await?;
    let there = get_json::<Stored>(&*context.store, &key).await.map_err(Failure::local)?;
    let contacts = context.contacts();
    // Another instance may have told it, or made another account.
    let Some((stored, _)) = there.filter(|(stored, _)| stored.is(account) && stored.contacts != *contacts) else {
        return Ok(());
    };
    let told: Vec<&str> = contacts.iter().map(String::as_str).collect();
    account.update_contacts(&told).await.map_err(|error| classify(&error, &client.last()))?;
    let stored = Stored { contacts: contacts.to_vec(), ..stored };
    put_json(&*context.store, &key, &stored).await.map_err(Failure::local)?;
    tracing::info!(issuer = &*issuer.name, account = account.id(), "the CA knows whom it may write to now");
    Ok(())
}

async fn stored(context: &Context, key: &Key, client: &Client) -> Result<Option<(Account, Stored)>, Failure> {
    let there = get_json::<Stored>(&*context.store, key).await.map_err(Failure::local)?;
    let Some((stored, _)) = there.filter(|(stored, _)| !stored.account.is_null()) else { return Ok(None) };
    let Ok(credentials) = serde_json::from_value::<AccountCredentials>(stored.account.clone()) else {
        tracing::warn!(%key, "no account in it; another is made");
        return Ok(None);
    };
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let account = builder.from_credentials(credentials).await;
    account
        .map(|account| Some((account, stored)))
        .map_err(|error| classify(&error, &client.last()).while_doing("the directory"))
}

async fn register(
    context: &Context,
    issuer: &Issuer,
    directory: &str,
    client: &Client,
    key: &Key,
) -> Result<Account, Failure> {
    let contacts = context.contacts();
    let mut stored = Stored {
        directory: directory.to_owned(),
        contacts: contacts.to_vec(),
        made: context.now(),
        account: Value::Null,
    };
    // A store that can't take the account mustn't have one made with every try.
    put_json(&*context.store, key, &stored).await.map_err(Failure::local)?;
    let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
    let eab = issuer.eab.as_ref().map(|eab| ExternalAccountKey::new(eab.key_id.clone(), eab.hmac_key.bytes()));
    let mut tries = 0;
    let (account, credentials) = loop {
        let builder = Account::builder_with_http(Box::new(client.clone()));
        match builder.create(&wanted, directory.to_owned(), eab.as_ref()).await {
            Ok(made) => break made,
            Err(error) => {
                let failure = classify(&error, &client.last()).while_doing("no account");
                tries += 1;
                if failure.class != Class::BadNonce || tries == 5 {
                    return Err(failure);
                }
            }
        }
    };
    stored.account = serde_json::to_value(&credentials).map_err(Failure::local)?;
    put_json(&*context.store, key, &stored).await.map_err(Failure::local)?;
    tracing::info!(issuer = &*issuer.name, account = account.id(), "an account was made");
    Ok(account)
}

async fn lease(context: &Context, issuer: &Issuer, directory: &str) -> Result<Lease, Failure> {
    let name = format!("account-{}", ca_of(issuer, directory));
    for _ in 0..600 {
        if let Some(lease) = context.store.lease(&name).await.map_err(Failure::local)? {
            return Ok(lease);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Failure::local("another instance has been making the account for a minute"))
}
