//! One order at one CA, from the key to the certificate.
//!
//! What a restart needs is written ahead: the key before the order is placed, the order's URL before anything is done
//! about it. So an instance that is killed at whatever step leaves an order that another one finishes.

use std::time::{Duration, Instant};

use instant_acme::{Account, CertificateIdentifier, NewOrder, Order, OrderStatus};
use rcgen::KeyPair;
use serde::{Deserialize, Serialize};

use super::bundle::Bundle;
use super::classify::classify;
use super::client::Client;
use super::context::Context;
use super::failure::{Class, Failure};
use super::store::{Key, get_json, put_json};
use super::wanted::{Wanted, ca_of, identifier};
use super::{Moment, account, key};
use crate::config::{Issuer, KeyType};

/// What is to be ordered, and where.
pub(super) struct Job<'a> {
    pub context: &'a Context,
    pub wanted: &'a Wanted,
    pub issuer: &'a Issuer,
    /// The issuer's directory, or its staging one.
    pub directory: &'a str,
    pub names: Vec<String>,
    /// The certificate that the new one will replace.
    pub replaces: Option<CertificateIdentifier<'static>>,
    /// Validations that have failed before this.
    pub failures: u32,
    client: Client,
    /// A CA that hasn't decided by then is given up.
    deadline: Instant,
}

/// `orders/<id>.json`: an order that isn't finished. The key of the certificate is in it.
#[derive(Clone, Serialize, Deserialize)]
struct Begun {
    ca: String,
    names: Vec<String>,
    key_type: KeyType,
    profile: Option<String>,
    at: Moment,
    /// `None`: not placed yet, or nobody knows.
    url: Option<String>,
    key: String,
}

/// An order may take this long in all.
const ORDER_TAKES_AT_MOST: Duration = Duration::from_secs(15 * 60);
/// `instant-acme` tries three times by itself.
const NONCE_TRIES: u32 = 6;
const FIRST_POLL: Duration = Duration::from_millis(200);
const LONGEST_POLL: Duration = Duration::from_secs(10);
/// A CA may ask for more patience than this; it is polled nevertheless.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Asks the CA, again if it refuses the nonce, and sorts its error.
macro_rules! ask {
    ($job:expr, $what:literal, $call:expr) => {{
        let mut tries = 0;
        loop {
            match $call.await {
                Ok(value) => break Ok(value),
                Err(error) => {
                    let failure = classify(&error, &$job.client.last()).while_doing($what);
                    tries += 1;
                    if failure.class != Class::BadNonce || tries == NONCE_TRIES {
                        break Err(failure);
                    }
                }
            }
        }
    }};
}

mod prove;

impl<'a> Job<'a> {
    pub(super) fn new(
        context: &'a Context,
        wanted: &'a Wanted,
        issuer: &'a Issuer,
        directory: &'a str,
        names: Vec<String>,
    ) -> Self {
        let client = context.client(issuer);
        let deadline = Instant::now() + ORDER_TAKES_AT_MOST;
        Self { context, wanted, issuer, directory, names, replaces: None, failures: 0, client, deadline }
    }

    /// Shows the CA that the names are ours, and orders nothing.
    ///
    /// # Errors
    /// It can't see it.
    pub(super) async fn rehearse(&self) -> Result<(), Failure> {
        let account = account::open(self.context, self.issuer, self.directory, &self.client).await?;
        let mut order = self.place(&account, None).await?;
        match self.prove(&mut order).await? {
            OrderStatus::Invalid => Err(self.why_invalid(&mut order).await),
            _ => Ok(()),
        }
    }

    /// Gets a certificate: goes on with an order that was begun, or begins one.
    ///
    /// # Errors
    /// Why there is none. What was begun stays in the store if it can be gone on with.
    pub(super) async fn run(&self) -> Result<Bundle, Failure> {
        match self.run_once().await {
            // The CA has forgotten everything while the order was under way.
            Err((failure, Some(account))) if failure.class == Class::NoAccount => {
                account::forget(self.context, self.issuer, self.directory, &account).await?;
                self.run_once().await.map_err(|(failure, _)| failure)
            }
            outcome => outcome.map_err(|(failure, _)| failure),
        }
    }

    /// With the account that it failed with.
    async fn run_once(&self) -> Result<Bundle, (Failure, Option<Account>)> {
        let mut begun = self.begin().await.map_err(|failure| (failure, None))?;
        let (account, mut order) = self.open(&mut begun).await.map_err(|failure| (failure, None))?;
        tracing::debug!(
            site = &*self.wanted.site,
            order = order.url(),
            account = account.id(),
            "an order is under way"
        );
        let outcome = self.finish(&mut order, &begun).await;
        let may_go_on = |failure: &Failure| failure.class.concerns_the_whole_ca() || failure.class == Class::Local;
        if outcome.as_ref().is_err_and(|failure| !may_go_on(failure)) {
            self.drop_order().await;
        }
        outcome.map_err(|failure| (failure, Some(account)))
    }

    /// Takes away what was written ahead.
    async fn drop_order(&self) {
        if let Err(error) = self.context.store.delete(&Key::order(&self.wanted.id)).await {
            tracing::warn!(%error, "an order that is over stays in the store");
        }
    }

    /// The order that was begun for exactly this, or a new one with a new key.
    async fn begin(&self) -> Result<Begun, Failure> {
        let ca = ca_of(self.issuer, self.directory);
        let key_type = self.wanted.key();
        let there = get_json::<Begun>(&*self.context.store, &Key::order(&self.wanted.id)).await;
        if let Some((begun, _)) = there.map_err(Failure::local)?
            && (&begun.ca, &begun.names, begun.key_type, &begun.profile)
                == (&ca, &self.names, key_type, &self.issuer.profile)
        {
            if begun.url.is_none() {
                // A store that can't take the order's URL mustn't have one placed with every try.
                self.write(&begun).await?;
            }
            return Ok(begun);
        }
        // RSA takes long.
        let made = tokio::task::spawn_blocking(move || key::make(key_type).map(|key| key.serialize_pem())).await;
        let key = made.map_err(Failure::local)?.map_err(Failure::local)?;
        let begun = Begun {
            ca,
            names: self.names.clone(),
            key_type,
            profile: self.issuer.profile.clone(),
            at: self.context.now(),
            url: None,
            key,
        };
        // A store that can't take it couldn't take the certificate either.
        self.write(&begun).await?;
        Ok(begun)
    }

    async fn write(&self, begun: &Begun) -> Result<(), Failure> {
        put_json(&*self.context.store, &Key::order(&self.wanted.id), begun).await.map_err(Failure::local)
    }

    /// The account, and the order that was begun or a new one. An account that the CA doesn't know is made again, once.
    async fn open(&self, begun: &mut Begun) -> Result<(Account, Order), Failure> {
        for may_forget in [true, false] {
            let account = account::open(self.context, self.issuer, self.directory, &self.client).await?;
            match self.find_or_place(&account, begun).await {
                Ok(order) => return Ok((account, order)),
                Err(failure) if failure.class == Class::NoAccount && may_forget => {
                    tracing::warn!(
                        issuer = &*self.issuer.name,
                        "the CA doesn't know the account any more; another is made"
                    );
                    account::forget(self.context, self.issuer, self.directory, &account).await?;
                    begun.url = None;
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::new(Class::NoAccount, "the CA doesn't know the account that it has just made"))
    }

    async fn find_or_place(&self, account: &Account, begun: &mut Begun) -> Result<Order, Failure> {
        if let Some(url) = begun.url.clone() {
            let found = ask!(self, "the order", account.order(url.clone()));
            match found {
                Ok(mut order) => {
                    if order.state().status != OrderStatus::Invalid {
                        return Ok(order);
                    }
                }
                // The CA has forgotten it.
                Err(failure) if failure.class == Class::Policy => {}
                Err(failure) => return Err(failure),
            }
            begun.url = None;
            self.write(begun).await?;
        }
        let order = self.place(account, self.replaces.clone()).await?;
        begun.url = Some(order.url().to_owned());
        self.write(begun).await?;
        Ok(order)
    }

    async fn place(
        &self,
        account: &Account,
        replaces: Option<CertificateIdentifier<'static>>,
    ) -> Result<Order, Failure> {
        let identifiers: Vec<_> = self.names.iter().map(|name| identifier(name)).collect();
        let mut wanted = NewOrder::new(&identifiers);
        if let Some(profile) = &self.issuer.profile {
            self.has_profile(account, profile)?;
            wanted = wanted.profile(profile);
        }
        if let Some(replaces) = replaces {
            let replacing = NewOrder::new(&identifiers).replaces(replaces);
            let replacing = match &self.issuer.profile {
                Some(profile) => replacing.profile(profile),
                None => replacing,
            };
            match ask!(self, "no order", account.new_order(&replacing)) {
                Ok(order) => return self.with_profile(order),
                Err(failure) if self.is_about_replacing(&failure) => {
                    tracing::info!("the CA doesn't take the order for a renewal: {failure}");
                }
                Err(failure) => return Err(failure),
            }
        }
        self.with_profile(ask!(self, "no order", account.new_order(&wanted))?)
    }

    /// Whether the order may be taken without its `replaces`: a CA that doesn't know the certificate answers 404, 409 or
    /// even 500, and one without renewal information isn't asked at all.
    fn is_about_replacing(&self, failure: &Failure) -> bool {
        failure.class == Class::Replaces
            || failure.detail.contains("ARI")
            || failure.detail.contains("replaces")
            || matches!(self.client.last().status, Some(404 | 409 | 500))
    }

    fn has_profile(&self, account: &Account, profile: &str) -> Result<(), Failure> {
        let mut offered: Vec<&str> = account.profiles().map(|offered| offered.name).collect();
        if offered.contains(&profile) {
            return Ok(());
        }
        offered.sort_unstable();
        let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
        Err(Failure::new(Class::Policy, format!("the CA has no profile \"{profile}\"; it offers: {offered}")))
    }

    /// A CA may take the order and not the profile, which is no error to `instant-acme`.
    fn with_profile(&self, mut order: Order) -> Result<Order, Failure> {
        match (&self.issuer.profile, &order.state().profile) {
            (Some(wanted), Some(got)) if wanted != got => Err(Failure::new(
                Class::Policy,
                format!("the CA took the order for the profile \"{got}\" instead of \"{wanted}\""),
            )),
            _ => Ok(order),
        }
    }

    /// Takes an order from whatever state it is in to its certificate.
    async fn finish(&self, order: &mut Order, begun: &Begun) -> Result<Bundle, Failure> {
        let key = KeyPair::from_pem(&begun.key).map_err(Failure::local)?;
        if order.state().status == OrderStatus::Pending {
            self.prove(order).await?;
        }
        if order.state().status == OrderStatus::Ready {
            let request = key::request(&key, &begun.names).map_err(Failure::local)?;
            ask!(self, "the CA doesn't sign", order.finalize_csr(&request))?;
        }
        self.poll(order, |status| status == OrderStatus::Processing).await?;
        match order.state().status {
            OrderStatus::Valid => {
                let chain = ask!(self, "the certificate", order.certificate())?;
                let chain = chain.ok_or_else(|| Failure::transport("the CA has a certificate and doesn't give it"))?;
                self.check(&begun.key, &chain)
            }
            OrderStatus::Invalid => Err(self.why_invalid(order).await),
            other => Err(Failure::transport(format!("the order is {other:?}, which it can't be here"))),
        }
    }

    /// A CA's mistake mustn't be served.
    fn check(&self, key: &str, chain: &str) -> Result<Bundle, Failure> {
        let bundle = Bundle::of(&self.wanted.id, key, chain)
            .map_err(|error| Failure::new(Class::Server, format!("what the CA issued is no good: {error}")))?;
        if !bundle.covers(&self.names) {
            return Err(Failure::new(Class::Server, "what the CA issued doesn't name all that was ordered"));
        }
        if bundle.validity.is_over(self.context.now()) {
            return Err(Failure::new(Class::Server, "what the CA issued is over already: is the clock right?"));
        }
        Ok(bundle)
    }

    /// Looks at the order again while it `stays`. Everything else has its own bound: only a CA that never decides could
    /// take for ever. What was made ready for it is withdrawn after this, which a timeout around it all would skip.
    async fn poll(&self, order: &mut Order, stays: impl Fn(OrderStatus) -> bool) -> Result<(), Failure> {
        let mut pause = FIRST_POLL;
        while stays(order.state().status) {
            let asked = self.client.last().retry_after.map_or(Duration::ZERO, |asked| asked.min(LONGEST_ASKED));
            if Instant::now() + pause.max(asked) > self.deadline {
                return Err(Failure::transport("the order wasn't done after 15 minutes"));
            }
            tokio::time::sleep(pause.max(asked)).await;
            pause = (pause * 3 / 2).min(LONGEST_POLL);
            ask!(self, "the order", order.refresh()).map(drop)?;
        }
        Ok(())
    }
}
