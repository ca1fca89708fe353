//! Limits: never more than the rate and the burst allow, and whoever waits as long as told passes.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tidegate::config::{Limit, LimitKey, Rate};
use tidegate::filter::limit::{LimitInput, Limiter, Verdict, take};
use tidegate::http::address::Client;
use tidegate::http::head::Fields;

/// Rate, burst, then pairs: who asks, and how many milliseconds later.
pub fn run(data: &[u8]) {
    let [rate, burst, asks @ ..] = data else { return };
    let Some(requests) = NonZeroU32::new(u32::from(*rate)) else { return };
    let burst = u32::from(*burst) % 32;
    let limiter = Arc::new(Limiter::new(&Limit {
        name: "fuzz".into(),
        key: LimitKey::ClientIp,
        rate: Rate { requests, per: Duration::from_secs(1) },
        burst,
        delay: None,
        max_keys: 1024,
        status: 429,
        dry_run: false,
    }));
    let fields = Fields::default();
    let ask = |who: u8, now: Duration| {
        let client = Client::Ip([127, 0, 0, who].into());
        take(std::slice::from_ref(&limiter), &LimitInput { client, site: "a", fields: &fields, now })
    };
    let mut passed: HashMap<u8, (u64, Duration)> = HashMap::new();
    let mut now = Duration::from_secs(1);
    for pair in asks.chunks_exact(2).take(512) {
        let who = pair[0] % 4;
        now += Duration::from_millis(u64::from(pair[1]));
        let (count, since) = passed.entry(who).or_insert((0, now));
        let most = |now: Duration| {
            let earned = u128::from(requests.get()) * (now - *since).as_nanos() / 1_000_000_000;
            u64::from(burst) + 2 + u64::try_from(earned).unwrap_or(u64::MAX)
        };
        match ask(who, now) {
            Verdict::Pass { .. } => {
                *count += 1;
                assert!(*count <= most(now), "{count} passed where {} may", most(now));
            }
            Verdict::Refused { retry_after, status, .. } => {
                assert_eq!(status, 429);
                assert!(*count > u64::from(burst), "refused after {count} with a burst of {burst}");
                assert!(retry_after <= Duration::from_secs(2), "{retry_after:?}");
                now += retry_after;
                *count += 1;
                assert!(matches!(ask(who, now), Verdict::Pass { .. }), "it has waited {retry_after:?}");
                assert!(*count <= most(now));
            }
        }
    }
}
