//! What a CA's answer means, by the class of what is done about it.

use instant_acme::{Error, Identifier, Problem};

use super::client::Last;
use super::failure::{Class, Failure, printable};

/// Sorts an error of the client, with what is remembered of the last response.
pub fn classify(error: &Error, last: &Last) -> Failure {
    match error {
        Error::Api(problem) => of_problem(problem, last),
        Error::Unsupported(what) => Failure::new(Class::Policy, format!("the CA doesn't offer {what}")),
        Error::Timeout(_) => Failure::transport("the CA took too long"),
        Error::Crypto | Error::KeyRejected => Failure::local(error),
        // No problem document: a proxy's page, garbage, or nothing.
        _ => match last.status {
            Some(429) => rate_limited("429 without a reason".to_owned(), last),
            Some(503) if last.retry_after.is_some() => rate_limited("503 without a reason".to_owned(), last),
            Some(status @ 500..) => Failure {
                retry_after: last.retry_after,
                ..Failure::new(Class::Server, format!("it answered {status} without a reason"))
            },
            Some(status) => {
                Failure::transport(format!("it answered {status} with something that makes no sense: {error}"))
            }
            None => Failure::transport(last.fault.clone().unwrap_or_else(|| error.to_string())),
        },
    }
}

/// Sorts a problem document.
pub fn of_problem(problem: &Problem, last: &Last) -> Failure {
    let detail = told(problem);
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let status = last.status.or(problem.status).unwrap_or(0);
    let class = match kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind) {
        "badNonce" => Class::BadNonce,
        "rateLimited" => Class::RateLimited,
        "accountDoesNotExist" => Class::NoAccount,
        "alreadyReplaced" => Class::Replaces,
        "connection" | "dns" | "tls" | "incorrectResponse" => Class::Validation,
        "serverInternal" => Class::Server,
        _ if status == 429 => Class::RateLimited,
        _ if status == 503 && last.retry_after.is_some() => Class::RateLimited,
        _ if status >= 500 => Class::Server,
        _ => Class::Policy,
    };
    let names = problem.subproblems.iter().filter_map(|sub| match sub.identifier.as_ref()? {
        Identifier::Dns(name) => Some(name.to_ascii_lowercase()),
        Identifier::Ip(ip) => Some(ip.to_string()),
        _ => None,
    });
    Failure { class, detail, retry_after: last.retry_after, names: names.collect() }
}

/// A problem in words, short and printable.
fn told(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("unknown").rsplit(':').next().unwrap_or_default();
    let mut text = match &problem.detail {
        Some(detail) => format!("{detail} ({kind})"),
        None => kind.to_owned(),
    };
    for sub in &problem.subproblems {
        text.push_str(&format!("; {sub}"));
    }
    printable(&text)
}

fn rate_limited(detail: String, last: &Last) -> Failure {
    Failure { retry_after: last.retry_after, ..Failure::new(Class::RateLimited, detail) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn problem(kind: &str) -> Problem {
        serde_json::from_value(
            serde_json::json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "x" }),
        )
        .unwrap()
    }

    fn answered(status: u16) -> Last {
        Last { status: Some(status), ..Last::default() }
    }

    #[test]
    fn each_kind_of_problem_has_its_class() {
        for (kind, status, class) in [
            ("badNonce", 400, Class::BadNonce),
            ("rateLimited", 429, Class::RateLimited),
            ("accountDoesNotExist", 400, Class::NoAccount),
            ("connection", 400, Class::Validation),
            ("rejectedIdentifier", 400, Class::Policy),
            ("caa", 403, Class::Policy),
            ("externalAccountRequired", 403, Class::Policy),
            ("userActionRequired", 403, Class::Policy),
            ("malformed", 503, Class::Server),
            ("serverInternal", 500, Class::Server),
            ("alreadyReplaced", 409, Class::Replaces),
        ] {
            assert_eq!(of_problem(&problem(kind), &answered(status)).class, class, "{kind}");
        }
    }

    #[test]
    fn without_a_problem_document_the_status_decides() {
        let garbage = || Error::Json(serde_json::from_str::<u8>("<html>").unwrap_err());
        let after = |status, seconds| Last { retry_after: Some(Duration::from_secs(seconds)), ..answered(status) };
        for (last, class) in [
            (answered(503), Class::Server),
            (after(503, 60), Class::RateLimited),
            (answered(429), Class::RateLimited),
            (answered(502), Class::Server),
            (answered(200), Class::Transport),
            (Last::default(), Class::Transport),
        ] {
            assert_eq!(classify(&garbage(), &last).class, class, "{last:?}");
        }
        assert_eq!(classify(&garbage(), &after(429, 9)).retry_after, Some(Duration::from_secs(9)));
    }
}
