//! Renewal information (RFC 9773): when a CA would like a certificate renewed.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::Moment;
use super::client::Client;
use super::due::Window;
use super::failure::{Failure, printable};

/// What a CA said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// `None`: nothing about this certificate, or nothing that makes sense.
    pub window: Option<Window>,
    /// How long its word holds.
    pub wait: Duration,
}

/// Without a word about it, or with nonsense (RFC 9773 4.3).
const USUAL_WAIT: Duration = Duration::from_secs(6 * 3600);
const SHORTEST_WAIT: Duration = Duration::from_secs(60);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
struct Directory {
    #[serde(rename = "renewalInfo")]
    renewal_info: Option<String>,
}

#[derive(Deserialize)]
struct RenewalInfo {
    #[serde(rename = "suggestedWindow")]
    suggested_window: Window,
    #[serde(rename = "explanationURL")]
    explanation_url: Option<String>,
}

/// Asks about one certificate.
///
/// # Errors
/// There was no answer. That there is nothing to say about the certificate is none.
pub(super) async fn ask(client: &Client, directory: &str, certificate: &str) -> Result<Answer, Failure> {
    let nothing = Answer { window: None, wait: LONGEST_WAIT };
    let (status, body) = client.get(directory).await.map_err(Failure::transport)?;
    if status != StatusCode::OK {
        return Err(Failure::transport(format!("its directory answers {}", status.as_u16())));
    }
    let directory: Directory =
        serde_json::from_slice(&body).map_err(|_| Failure::transport("its directory makes no sense"))?;
    let Some(url) = directory.renewal_info else { return Ok(nothing) };
    let (status, body) =
        client.get(&format!("{}/{certificate}", url.trim_end_matches('/'))).await.map_err(Failure::transport)?;
    let wait = client.last().retry_after.unwrap_or(USUAL_WAIT).clamp(SHORTEST_WAIT, LONGEST_WAIT);
    if status != StatusCode::OK {
        return Ok(Answer { window: None, wait });
    }
    match serde_json::from_slice::<RenewalInfo>(&body) {
        Ok(info) => {
            if let Some(why) = info.explanation_url {
                tracing::debug!(why = printable(&why), "the CA explains its window");
            }
            Ok(Answer { window: Some(info.suggested_window), wait })
        }
        Err(error) => {
            tracing::debug!(%error, "renewal information that makes no sense");
            Ok(Answer { window: None, wait })
        }
    }
}

/// When to ask first, or again after there was no answer.
pub(super) fn retry_at(now: Moment) -> Moment {
    now + USUAL_WAIT
}
