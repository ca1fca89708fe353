//! Endpoints that come and go, whatever the policy and what stands before it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::config::{Address, EndpointSource, Hash, HashKey, Locality, Sticky, Subset};
use crate::upstream::Found;

fn source() -> EndpointSource {
    EndpointSource::Addresses { host: "app".to_owned(), port: 80 }
}

fn discovering(policy: Policy, change: impl FnOnce(&mut config::Upstream)) -> Upstream {
    let mut config = configured(policy, &[PLAIN]);
    config.endpoints[0].address = "app:80".to_owned();
    config.endpoints[0].source = Some(source());
    change(&mut config);
    Upstream::new(&config, None)
}

fn address(place: u16) -> Address {
    SocketAddr::from(([10, 0, 0, 1], place)).into()
}

fn found(places: &[u16]) -> Vec<Found> {
    places.iter().map(|place| Found::at(address(*place))).collect()
}

fn set(upstream: &Upstream, places: &[u16]) {
    upstream.set_found(&source(), &found(places)).unwrap();
}

fn listed(upstream: &Upstream) -> Vec<u16> {
    upstream.endpoints().iter().map(|endpoint| endpoint.address().ip().unwrap().port()).collect()
}

fn every_kind() -> Vec<(&'static str, Upstream)> {
    let hash = || Policy::Hash(Hash { key: HashKey::Path, balance_factor: None });
    let sticky = Sticky {
        cookie: "c".to_owned(),
        secret: None,
        ttl: None,
        secure: None,
        http_only: true,
        same_site: config::SameSite::Lax,
    };
    vec![
        ("least_conn", discovering(Policy::LeastConn, |_| {})),
        ("round_robin", discovering(Policy::RoundRobin, |_| {})),
        ("random", discovering(Policy::Random, |_| {})),
        ("least_time", discovering(Policy::LeastTime, |_| {})),
        ("ip_hash", discovering(Policy::IpHash, |_| {})),
        ("hash", discovering(hash(), |_| {})),
        ("sticky", discovering(Policy::LeastConn, |config| config.sticky = Some(sticky))),
        ("slow_start", discovering(Policy::LeastConn, |config| config.slow_start = Some(Duration::from_secs(10)))),
        (
            "zones",
            discovering(Policy::LeastConn, |config| {
                config.locality = Some(Locality { zone: "a".to_owned(), min_local: 0.5 });
            }),
        ),
        ("subset", discovering(Policy::LeastConn, |config| config.subset = Some(Subset { size: 3, instance: None }))),
    ]
}

/// Where requests for many keys and clients go that are all in flight at once.
fn reached(upstream: &Upstream) -> HashSet<u16> {
    let attempts: Vec<InFlight> = (0..400)
        .map(|n| {
            let path = format!("/{n}");
            let client = std::net::IpAddr::from([10, (n / 20) as u8, (n % 20) as u8, 1]);
            let mut ask = Ask::keyed(path.as_bytes());
            ask.client = Some(client);
            let tried = Tried::new();
            upstream.pick_for(&ask, &tried, at(f64::from(n) / 100.0)).unwrap()
        })
        .collect();
    attempts.iter().map(place).collect()
}

#[test]
fn every_policy_sees_exactly_the_endpoints_of_now() {
    for (name, upstream) in every_kind() {
        for places in [&[1, 2, 3][..], &[2, 3, 4], &[5], &[1, 2, 3, 5]] {
            set(&upstream, places);
            let (reached, listed) = (reached(&upstream), listed(&upstream));
            assert!(reached.iter().all(|place| places.contains(place)), "{name}: {reached:?}");
            assert_eq!(reached.len(), listed.len(), "{name}: {reached:?} of {places:?}");
            assert_eq!(upstream.tries() as usize, listed.len(), "{name}");
        }
    }
}

#[test]
fn the_difference_is_told() {
    let upstream = discovering(Policy::LeastConn, |_| {});
    let change = upstream.set_found(&source(), &found(&[1, 2, 2])).unwrap();
    assert_eq!((change.added, change.removed, change.found), (vec![address(1), address(2)], vec![], 2));
    let change = upstream.set_found(&source(), &found(&[2, 3])).unwrap();
    assert_eq!((change.added, change.removed), (vec![address(3)], vec![address(1)]));
    let group = upstream.endpoints();
    assert!(upstream.set_found(&source(), &found(&[2, 3])).is_none());
    assert!(upstream.set_found(&source(), &[]).is_none());
    assert!(upstream.set_found(&EndpointSource::File("f".into()), &found(&[9])).is_none());
    assert!(Arc::ptr_eq(&group, &upstream.endpoints()), "nothing was built anew");
}

#[test]
fn who_stays_keeps_its_state_and_who_returns_gets_its_own_back() {
    let upstream = discovering(Policy::LeastConn, |config| config.ejection.fail_timeout = Duration::from_secs(60));
    set(&upstream, &[1, 2, 3]);
    fail(&upstream, 1, 0.0);
    let attempt = attempt_at(&upstream, 2, 0.0);
    let ids: Vec<u32> = upstream.endpoints().iter().map(|endpoint| endpoint.id()).collect();
    set(&upstream, &[3]);
    let left = Arc::clone(attempt.endpoint());
    assert!(left.live.is_gone() && !upstream.endpoints()[0].live.is_gone());
    set(&upstream, &[1, 2, 3]);
    assert_eq!(upstream.endpoints().iter().map(|endpoint| endpoint.id()).collect::<Vec<_>>(), ids);
    assert!(!left.live.is_gone() && is_ejected(&upstream, 1, 1.0));
    assert_eq!(upstream.endpoints()[1].in_flight(), 1);
    drop(attempt);
    assert_eq!(upstream.endpoints()[1].in_flight(), 0);
}

#[test]
fn a_reload_carries_found_endpoints_and_those_that_have_left() {
    let old = discovering(Policy::LeastConn, |_| {});
    set(&old, &[1, 2]);
    let one = old.endpoints()[0].id();
    set(&old, &[2, 3]);
    let mut config = old.config().clone();
    config.endpoints[0].weight = NonZeroU32::new(5).unwrap();
    let new = Upstream::new(&config, Some(&old));
    assert_eq!(listed(&new), [2, 3]);
    assert!(new.endpoints().iter().all(|endpoint| endpoint.rules.weight == 5));
    new.supersede(&old);
    set(&new, &[1, 2]);
    assert_eq!(new.endpoints()[0].id(), one);
    // Without its source, it has none of them.
    config.endpoints[0].source = Some(EndpointSource::Service { name: "_http._tcp.app".to_owned() });
    let other = Upstream::new(&config, Some(&new));
    assert!(other.endpoints().is_empty() && !new.endpoints()[0].live.is_gone());
    other.supersede(&new);
    assert!(new.endpoints().iter().all(|endpoint| endpoint.live.is_gone()));
}

#[test]
fn no_more_than_max_endpoints_are_used_and_configured_ones_do_not_count() {
    let upstream = discovering(Policy::LeastConn, |config| {
        config.endpoints.push(config::Endpoint::at("10.0.0.1:100"));
        config.endpoints_file = Some("f".into());
        config.max_endpoints = 3;
    });
    let change = upstream.set_found(&source(), &found(&[1, 2])).unwrap();
    assert_eq!((listed(&upstream), change.left_out), (vec![1, 2, 100], 0));
    let change = upstream.set_found(&EndpointSource::File("f".into()), &found(&[3, 4, 5])).unwrap();
    assert_eq!((listed(&upstream), change.left_out), (vec![1, 2, 100, 3], 2));
    let change = upstream.set_found(&source(), &found(&[1])).unwrap();
    assert_eq!((listed(&upstream), change.left_out), (vec![1, 100, 3, 4], 1));
}

#[test]
fn what_a_source_says_of_an_endpoint_goes_before_what_is_configured() {
    let with = |backup: bool| {
        let upstream = discovering(Policy::LeastConn, |config| {
            config.endpoints[0] = config::Endpoint {
                weight: NonZeroU32::new(7).unwrap(),
                max_conns: NonZeroU32::new(9),
                backup,
                ..config.endpoints[0].clone()
            };
        });
        let said = Found { weight: NonZeroU32::new(2), backup: true, ..Found::at(address(2)) };
        upstream.set_found(&source(), &[Found::at(address(1)), said]).unwrap();
        let rules = upstream.endpoints().iter().map(|e| (e.rules.weight, e.rules.max_conns, e.rules.backup)).collect();
        (rules, upstream.tries())
    };
    let (rules, _): (Vec<_>, _) = with(false);
    assert_eq!(rules, [(7, 9, false), (2, 9, true)]);
    // nginx: of those behind a backup, only the first ones are used.
    let (rules, tries) = with(true);
    assert_eq!((rules, tries), (vec![(7, 9, true)], 1));
}

#[test]
fn who_joins_or_returns_starts_slowly_but_not_who_is_there_from_the_start() {
    let upstream = discovering(Policy::LeastConn, |config| config.slow_start = Some(Duration::from_secs(100)));
    let share = |place: u16, second: f64| {
        let picks = places_one_by_one(&upstream, 400, second);
        picks.iter().filter(|picked| **picked == place).count()
    };
    set(&upstream, &[1, 2]);
    assert_eq!(share(2, 1000.0), 200);
    set(&upstream, &[1, 2, 3]);
    assert!(share(3, 1001.0) < 40);
    assert!(share(3, 1200.0) > 100);
    set(&upstream, &[1, 2]);
    set(&upstream, &[1, 2, 3]);
    assert!(share(3, 1300.0) < 40);
}
