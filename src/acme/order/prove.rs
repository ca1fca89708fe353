//! Showing a CA that the names of an order are ours.

use instant_acme::{AuthorizationHandle, AuthorizationStatus, ChallengeStatus, Error, Order, OrderStatus};

use super::{Job, NONCE_TRIES};
use crate::acme::challenge::{self, Offer, choose};
use crate::acme::classify::{classify, of_problem};
use crate::acme::client::Last;
use crate::acme::failure::{Class, Failure};
use crate::config::ChallengeKind;

impl Job<'_> {
    /// Answers one challenge for each name that isn't proved yet, and waits for what the CA makes of it.
    pub(super) async fn prove(&self, order: &mut Order) -> Result<OrderStatus, Failure> {
        let mut offers = Vec::new();
        let outcome = self.prove_with(order, &mut offers).await;
        for offer in offers {
            offer.withdraw(self.context).await;
        }
        outcome
    }

    async fn prove_with(&self, order: &mut Order, offers: &mut Vec<Offer>) -> Result<OrderStatus, Failure> {
        let mut answered: Vec<Option<ChallengeKind>> = Vec::new();
        let mut next = 0;
        loop {
            // The iterator forgets its place when a nonce is refused; what has been fetched isn't fetched again.
            let mut authorizations = order.authorizations();
            let mut at = 0;
            let mut refused = None;
            while let Some(authorization) = authorizations.next().await {
                match authorization {
                    Ok(authorization) => {
                        if at >= answered.len() {
                            answered.push(self.offer_one(authorization, offers).await?);
                        }
                        at += 1;
                    }
                    Err(error) => {
                        refused = Some(classify(&error, &self.client.last()).while_doing("an authorization"));
                        break;
                    }
                }
            }
            match refused {
                None => break,
                Some(failure) if failure.class == Class::BadNonce && next < NONCE_TRIES => next += 1,
                Some(failure) => return Err(failure),
            }
        }
        for offer in offers.iter() {
            offer.visible().await?;
        }
        let mut authorizations = order.authorizations();
        for kind in answered {
            let Some(Ok(mut authorization)) = authorizations.next().await else { break };
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = kind.and_then(|kind| authorization.challenge(challenge::type_of(kind))) else {
                continue;
            };
            if challenge.status == ChallengeStatus::Pending {
                let told = ask!(self, "a challenge", challenge.set_ready());
                told.map_err(|failure| of_validation(failure, &name))?;
            }
        }
        self.poll(order, |status| status == OrderStatus::Pending).await?;
        Ok(order.state().status)
    }

    /// Has one name's answer ready; `None` if nobody needs to see it.
    async fn offer_one(
        &self,
        mut authorization: AuthorizationHandle<'_>,
        offers: &mut Vec<Offer>,
    ) -> Result<Option<ChallengeKind>, Failure> {
        let how = &self.wanted.how;
        let name = authorization.identifier().to_string();
        if authorization.status != AuthorizationStatus::Pending {
            // Proved already, or failed: then the order is invalid, or soon will be.
            return Ok(None);
        }
        let offered: Vec<_> = authorization.challenges.iter().map(|challenge| challenge.r#type.clone()).collect();
        let Some(kind) = choose(how, &authorization.identifier(), &offered, self.failures) else {
            let failure =
                Failure::new(Class::Policy, format!("{name}: the CA offers no challenge that can be answered"));
            return Err(Failure { names: vec![name], ..failure });
        };
        let Some(challenge) = authorization.challenge(challenge::type_of(kind)) else { return Ok(None) };
        let key_authorization = challenge.key_authorization();
        let offer = challenge::offer(
            self.context,
            how,
            kind,
            challenge.identifier().identifier,
            &challenge.token,
            key_authorization.as_str(),
            key_authorization.dns_value(),
        );
        offers.push(offer.await.map_err(|failure| failure.while_doing(&name))?);
        tracing::debug!(name, challenge = kind.name(), "a challenge is answered");
        Ok(Some(kind))
    }

    /// What the CA couldn't see, or doesn't want.
    pub(super) async fn why_invalid(&self, order: &mut Order) -> Failure {
        let mut reasons: Vec<Failure> = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let refreshed: Result<_, Error> = authorization.refresh().await.map(drop);
            if refreshed.is_err() || authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
            if let Some(problem) = problem {
                let failure = of_problem(problem, &Last::default());
                reasons.push(of_validation(failure, &name));
            }
        }
        if let Some(problem) = &order.state().error
            && reasons.is_empty()
        {
            reasons.push(of_validation(of_problem(problem, &Last::default()), "the order"));
        }
        // One that is nobody's policy may succeed another time.
        let class = match reasons.iter().all(|reason| reason.class == Class::Policy) && !reasons.is_empty() {
            true => Class::Policy,
            false => Class::Validation,
        };
        let details: Vec<&str> = reasons.iter().map(|reason| reason.detail.as_str()).collect();
        let detail = if details.is_empty() { "the CA doesn't say why".to_owned() } else { details.join("; ") };
        let names =
            reasons.iter().filter(|reason| reason.class == Class::Policy).flat_map(|reason| reason.names.clone());
        Failure { names: names.collect(), ..Failure::new(class, detail) }
    }
}

/// A CA's word on a challenge: either policy, or it couldn't see the answer.
fn of_validation(mut failure: Failure, name: &str) -> Failure {
    let is_policy = ["(caa)", "(rejectedIdentifier)"].iter().any(|kind| failure.detail.contains(kind));
    if failure.class == Class::Policy && !is_policy {
        failure.class = Class::Validation;
    }
    failure.names = vec![name.to_owned()];
    failure.while_doing(name)
}
