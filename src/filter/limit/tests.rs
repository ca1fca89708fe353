//! Limits against nginx's counts. Time is handed in; nothing sleeps.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::config::Rate;

fn limit(requests: u32, burst: u32) -> Limit {
    Limit {
        name: "api".into(),
        key: LimitKey::ClientIp,
        rate: Rate { requests: NonZeroU32::new(requests).unwrap(), per: Duration::from_secs(1) },
        burst,
        delay: None,
        max_keys: 1 << 12,
        status: 429,
        dry_run: false,
    }
}

fn limiters(configs: &[Limit]) -> Vec<Arc<Limiter>> {
    configs.iter().map(|config| Arc::new(Limiter::new(config))).collect()
}

/// What a client asks at a millisecond.
/// `unix:`, or an address.
fn client_of(text: &str) -> Client {
    text.parse().map_or(Client::Unix, Client::Ip)
}

fn ask(limits: &[Arc<Limiter>], client: &str, millis: u64) -> Verdict {
    let fields = Fields::default();
    let now = Duration::from_millis(millis);
    take(limits, &LimitInput { client: client_of(client), site: "site", fields: &fields, now })
}

fn passes(limits: &[Arc<Limiter>], client: &str, millis: u64) -> bool {
    matches!(ask(limits, client, millis), Verdict::Pass { .. })
}

fn count(limits: &[Arc<Limiter>], client: &str, millis: u64, tries: usize) -> usize {
    (0..tries).filter(|_| passes(limits, client, millis)).count()
}

#[test]
fn burst_twenty_passes_twenty_one_at_once_then_one_every_hundred_milliseconds() {
    let limits = limiters(&[limit(10, 20)]);
    assert_eq!(count(&limits, "192.0.2.1", 5000, 50), 21);
    for slot in 1..=30 {
        assert_eq!(count(&limits, "192.0.2.1", 5000 + slot * 100 - 1, 5), 0);
        assert_eq!(count(&limits, "192.0.2.1", 5000 + slot * 100, 5), 1);
    }
    assert_eq!(count(&limits, "192.0.2.1", 5000 + 3000 + 2100, 50), 21);
}

#[test]
fn without_a_burst_one_passes_in_each_slot() {
    let limits = limiters(&[limit(10, 0)]);
    for (millis, want) in [(0, 1), (50, 0), (99, 0), (100, 1), (150, 0), (1000, 1)] {
        assert_eq!(count(&limits, "192.0.2.1", millis, 3), want, "at {millis} ms");
    }
}

#[test]
fn a_refusal_tells_when_to_come_back_and_costs_nothing() {
    let limits = limiters(&[Limit { status: 503, ..limit(10, 1) }]);
    assert_eq!(count(&limits, "192.0.2.1", 1000, 100), 2);
    let want = Verdict::Refused {
        by: 0,
        status: 503,
        retry_after: Duration::from_millis(60),
        standing: Standing { limit: 2, remaining: 0, reset: 1 },
        dry_run: LimitSet::default(),
    };
    assert_eq!(ask(&limits, "192.0.2.1", 1040), want);
    assert!(passes(&limits, "192.0.2.1", 1100));
}

#[test]
fn a_pass_tells_what_remains() {
    let limits = limiters(&[limit(1, 2)]);
    let standing = |millis| match ask(&limits, "192.0.2.1", millis) {
        Verdict::Pass { standing: Some(s), .. } => (s.limit, s.remaining, s.reset),
        other => panic!("{other:?}"),
    };
    assert_eq!(standing(0), (3, 2, 1));
    assert_eq!(standing(0), (3, 1, 2));
    assert_eq!(standing(500), (3, 0, 3));
}

#[test]
fn excess_past_the_delay_waits_for_its_slot() {
    let waits = |delay| {
        let limits = limiters(&[Limit { delay, ..limit(10, 5) }]);
        (0..7)
            .map(|_| match ask(&limits, "192.0.2.1", 0) {
                Verdict::Pass { wait, .. } => Some(wait.as_millis()),
                Verdict::Refused { .. } => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(waits(None), [Some(0), Some(0), Some(0), Some(0), Some(0), Some(0), None]);
    assert_eq!(waits(Some(0)), [Some(0), Some(100), Some(200), Some(300), Some(400), Some(500), None]);
    assert_eq!(waits(Some(3)), [Some(0), Some(0), Some(0), Some(0), Some(100), Some(200), None]);
}

#[test]
fn thousands_of_keys_have_an_allowance_each() {
    let limits = limiters(&[Limit { max_keys: 1 << 16, ..limit(10, 3) }]);
    for n in 0..5000 {
        assert_eq!(count(&limits, &format!("10.0.{}.{}", n >> 8, n & 255), 0, 6), 4, "client {n}");
    }
    assert!(!passes(&limits, "10.0.0.0", 99));
}

#[test]
fn a_flood_of_keys_takes_no_more_memory_and_refuses_none_of_them() {
    let limits = limiters(&[Limit { max_keys: 64, ..limit(1, 0) }]);
    let bytes = limits[0].bytes();
    assert_eq!(bytes, 64 * 16);
    for n in 0..10_000 {
        assert!(passes(&limits, &format!("10.0.{}.{}", n >> 8, n & 255), n));
    }
    assert_eq!(limits[0].bytes(), bytes);
}

#[test]
fn an_ipv6_client_is_its_64_and_a_mapped_one_its_ipv4() {
    let limits = limiters(&[limit(1, 0)]);
    assert!(passes(&limits, "2001:db8:0:1::1", 0));
    assert!(!passes(&limits, "2001:db8:0:1:ffff::2", 0));
    assert!(passes(&limits, "2001:db8:0:2::1", 0));
    assert!(passes(&limits, "192.0.2.1", 0));
    assert!(!passes(&limits, "::ffff:192.0.2.1", 0));
}

#[test]
fn a_header_s_value_is_a_key_and_its_absence_an_exemption() {
    let limits = limiters(&[Limit { key: LimitKey::Header("x-api-key".into()), ..limit(1, 0) }]);
    let ask = |value: Option<&str>| {
        let mut fields = Fields::default();
        if let Some(value) = value {
            fields.push(b"X-Api-Key", value.as_bytes());
        }
        let client = client_of("192.0.2.1");
        take(&limits, &LimitInput { client, site: "site", fields: &fields, now: Duration::ZERO })
    };
    let exempt = Verdict::Pass { wait: Duration::ZERO, standing: None, dry_run: LimitSet::default() };
    assert!(matches!(ask(Some("a")), Verdict::Pass { standing: Some(_), .. }));
    assert!(matches!(ask(Some("a")), Verdict::Refused { .. }));
    assert!(matches!(ask(Some("b")), Verdict::Pass { .. }));
    for value in [None, None, Some(""), Some("")] {
        assert_eq!(ask(value), exempt);
    }
}

#[test]
fn a_site_is_one_key_for_all_its_clients() {
    let limits = limiters(&[Limit { key: LimitKey::Site, ..limit(1, 1) }]);
    assert!(passes(&limits, "192.0.2.1", 0));
    assert!(passes(&limits, "192.0.2.2", 0));
    assert!(!passes(&limits, "192.0.2.3", 0));
}

#[test]
fn several_limits_are_charged_only_if_all_pass() {
    let wide = Limit { name: "wide".into(), ..limit(10, 9) };
    let narrow = Limit { name: "narrow".into(), status: 503, ..limit(10, 1) };
    for (order, by) in [([wide.clone(), narrow.clone()], 1), ([narrow, wide], 0)] {
        let limits = limiters(&order);
        assert_eq!(count(&limits, "192.0.2.1", 0, 20), 2);
        assert!(matches!(ask(&limits, "192.0.2.1", 0), Verdict::Refused { by: b, status: 503, .. } if b == by));
        let wide_alone = std::slice::from_ref(&limits[1 - by]);
        assert_eq!(count(wide_alone, "192.0.2.1", 0, 20), 8);
    }
}

#[test]
fn the_standing_told_is_that_of_the_tightest_limit() {
    let limits = limiters(&[limit(10, 9), limit(10, 1), limit(10, 5)]);
    let Verdict::Pass { standing, .. } = ask(&limits, "192.0.2.1", 0) else { panic!() };
    assert_eq!(standing, Some(Standing { limit: 2, remaining: 1, reset: 1 }));
}

#[test]
fn a_dry_run_lets_through_and_tells() {
    let dry = Limit { dry_run: true, ..limit(10, 0) };
    let limits = limiters(&[limit(10, 4), dry]);
    let told: Vec<_> = (0..6)
        .map(|_| match ask(&limits, "192.0.2.1", 0) {
            Verdict::Pass { dry_run, standing, .. } => {
                assert_eq!(standing.unwrap().limit, 5);
                (true, dry_run.iter().collect::<Vec<_>>())
            }
            Verdict::Refused { dry_run, .. } => (false, dry_run.iter().collect()),
        })
        .collect();
    assert_eq!(told[0], (true, vec![]));
    assert!(told[1..5].iter().all(|t| *t == (true, vec![1])), "{told:?}");
    assert!(!told[5].0);
}

#[test]
fn counts_survive_a_reload_that_changes_burst_status_or_dry_run() {
    let old = limit(10, 20);
    let before = limiters(std::slice::from_ref(&old));
    assert_eq!(count(&before, "192.0.2.1", 0, 15), 15);
    let after = Limiter::carry_over(&Limit { burst: 29, status: 503, ..old.clone() }, &before[0]).unwrap();
    assert_eq!(count(&[Arc::new(after)], "192.0.2.1", 0, 50), 15);

    for changed in [
        Limit { name: "other".into(), ..old.clone() },
        Limit { key: LimitKey::Site, ..old.clone() },
        Limit { rate: limit(11, 0).rate, ..old.clone() },
        Limit { max_keys: 9, ..old.clone() },
    ] {
        assert!(Limiter::carry_over(&changed, &before[0]).is_none(), "{changed:?}");
    }
}

#[test]
fn four_threads_on_one_key_pass_exactly_burst_plus_one() {
    for _ in 0..10 {
        let limits = limiters(&[Limit { max_keys: 8, ..limit(10, 9999) }]);
        let (passed, start) = (AtomicU32::new(0), Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    passed.fetch_add(count(&limits, "192.0.2.1", 0, 5000) as u32, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(passed.into_inner(), 10_000);
    }
}

#[test]
fn what_a_later_limit_refuses_takes_no_key_s_place_in_an_earlier_one() {
    let limits = limiters(&[Limit { max_keys: 8, ..limit(1, 0) }, Limit { key: LimitKey::Site, ..limit(1, 0) }]);
    let held = |n| format!("192.0.2.{n}");
    assert!((0..8).all(|n| passes(&limits[..1], &held(n), 0)));
    assert!(passes(&limits[1..], "198.51.100.1", 0));
    assert!(!passes(&limits, "198.51.100.1", 1));
    assert!((0..8).all(|n| !passes(&limits[..1], &held(n), 1)));
}

#[test]
fn a_race_lost_on_a_later_limit_is_refunded_on_the_earlier_ones() {
    for _ in 0..50 {
        let limits = limiters(&[limit(10, 999), limit(10, 49)]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| count(&limits, "192.0.2.1", 0, 50));
            }
        });
        assert_eq!(count(&limits[..1], "192.0.2.1", 0, 2000), 950);
    }
}

#[test]
fn no_rate_or_burst_overflows() {
    for (requests, per) in [(1, Duration::MAX), (1, Duration::from_secs(86_400)), (u32::MAX, Duration::from_nanos(1))] {
        let rate = Rate { requests: NonZeroU32::new(requests).unwrap(), per };
        for delay in [None, Some(0), Some(u32::MAX)] {
            let limits = limiters(&[Limit { rate, burst: u32::MAX, delay, ..limit(1, 0) }]);
            assert!(passes(&limits, "192.0.2.1", 0));
            assert!(passes(&limits, "192.0.2.1", u64::MAX >> 1));
        }
    }
}

proptest! {
    /// `ngx_http_limit_req_lookup` in thousandths of a request, for rates whose slots are whole milliseconds.
    #[test]
    fn agrees_with_nginx_s_arithmetic(
        rate in prop::sample::select(vec![1u32, 2, 5, 10, 20, 100, 500, 1000]),
        burst in 0u32..8,
        delay in prop::option::of(0u32..8),
        gaps in prop::collection::vec(prop_oneof![3 => Just(0u64), 2 => 0u64..300, 1 => 0u64..5000], 1..80),
    ) {
        let limits = limiters(&[Limit { delay, ..limit(rate, burst) }]);
        let (mut excess, mut last, mut now) = (None::<i64>, 0, 1_000_000);
        for gap in gaps {
            now += gap;
            let next = excess.map_or(0, |e| (e - i64::from(rate) * (now - last) as i64 + 1000).max(0));
            let want = next <= i64::from(burst) * 1000;
            if want {
                (excess, last) = (Some(next), now);
            }
            let want_wait = delay.map_or(0, |d| (next - i64::from(d) * 1000).max(0) / i64::from(rate));
            match ask(&limits, "192.0.2.1", now) {
                Verdict::Pass { wait, .. } => {
                    prop_assert!(want);
                    prop_assert_eq!(wait.as_millis() as i64, want_wait);
                }
                Verdict::Refused { .. } => prop_assert!(!want),
            }
        }
    }
}
