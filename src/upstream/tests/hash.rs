//! Where keys and clients go, and what they do when their endpoint is out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::config::{Hash, HashKey};

fn hashed(entries: &[Entry], balance_factor: Option<f64>) -> Upstream {
    upstream(Policy::Hash(Hash { key: HashKey::Path, balance_factor }), entries, |_| {})
}

fn key(number: u32) -> String {
    format!("/item/{number}")
}

fn place_of(upstream: &Upstream, number: u32) -> u16 {
    place_for(upstream, &Ask::keyed(key(number).as_bytes()))
}

#[test]
fn keys_go_where_nginx_sends_them() {
    let ring = upstream(Policy::Hash(Hash { key: HashKey::Path, balance_factor: None }), &[PLAIN; 2], |config| {
        for (endpoint, port) in config.endpoints.iter_mut().zip([7777, 7778]) {
            endpoint.address = format!("127.0.0.1:{port}");
        }
    });
    // As pingora-ketama's tests have it from nginx.
    for (key, port) in [("/some/path", 7778), ("/some/longer/path", 7777), ("/sad/zaidoon", 7778), ("/g", 7777)] {
        assert_eq!(place_for(&ring, &Ask::keyed(key.as_bytes())), port, "{key}");
    }
}

#[test]
fn keys_are_spread_by_weight() {
    let upstream = hashed(&[Entry { weight: 3, ..PLAIN }, PLAIN, PLAIN, PLAIN], None);
    let mut keys: HashMap<u16, f64> = HashMap::new();
    (0..12_000).for_each(|number| *keys.entry(place_of(&upstream, number)).or_default() += 1.0);
    for (place, weight) in [(1, 3.0), (2, 1.0), (3, 1.0), (4, 1.0)] {
        let part = keys[&place] / 12_000.0 / (weight / 6.0);
        assert!((0.75..1.25).contains(&part), "{keys:?}");
    }
}

#[test]
fn when_one_endpoint_goes_only_its_keys_move() {
    let all = hashed(&[PLAIN; 10], None);
    let mut config = all.config().clone();
    config.endpoints.remove(3);
    let fewer = Upstream::new(&config, None);
    let mut moved = 0;
    for number in 0..5_000 {
        let (before, after) = (place_of(&all, number), place_of(&fewer, number));
        assert!(before == after || before == 4, "{number} moved from {before} to {after}");
        moved += u32::from(before != after);
    }
    assert!((300..700).contains(&moved), "{moved} of 5000 moved for one endpoint of ten");
}

#[test]
fn an_endpoint_that_is_out_gives_its_keys_to_the_next_on_the_ring() {
    let upstream = hashed(&[PLAIN; 5], None);
    let before: Vec<_> = (0..500).map(|number| place_of(&upstream, number)).collect();
    attempt_at(&upstream, 2, 0.0).fail(at(0.0));
    let during: Vec<_> = (0..500).map(|number| place_of(&upstream, number)).collect();
    assert!(before.iter().zip(&during).all(|(before, during)| before == during || (*before == 2 && *during != 2)));
    let takers: std::collections::HashSet<_> = before.iter().zip(&during).filter(|(b, _)| **b == 2).collect();
    assert!(takers.len() > 1, "all keys went to one endpoint");
}

#[test]
fn a_retry_goes_to_the_next_on_the_ring_and_that_to_the_one_after_it() {
    let upstream = hashed(&[PLAIN; 3], None);
    for number in 0..50 {
        let (key, mut tried, mut seen) = (key(number), Tried::new(), Vec::new());
        while let Some(attempt) = upstream.pick_for(&Ask::keyed(key.as_bytes()), &tried, at(0.0)) {
            tried.insert(attempt.endpoint().id());
            seen.push(place(&attempt));
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
    }
}

#[test]
fn the_last_endpoint_that_is_left_is_found() {
    let upstream = hashed(&[PLAIN; 300], None);
    let mut tried = Tried::new();
    upstream.endpoints().iter().skip(1).for_each(|endpoint| tried.insert(endpoint.id()));
    for number in 0..200 {
        let attempt = upstream.pick_for(&Ask::keyed(key(number).as_bytes()), &tried, at(0.0)).unwrap();
        assert_eq!(place(&attempt), 1);
    }
}

#[test]
fn a_request_without_the_key_goes_by_least_conn() {
    let upstream = hashed(&[PLAIN; 4], None);
    let mut chosen = places(&upstream, 4);
    chosen.sort_unstable();
    assert_eq!(chosen, [1, 2, 3, 4]);
}

#[test]
fn large_weights_make_no_large_ring() {
    let upstream = hashed(&[Entry { weight: 65_535, ..PLAIN }, Entry { weight: 1, ..PLAIN }], None);
    let first = (0..1000).filter(|number| place_of(&upstream, *number) == 1).count();
    assert!(first > 990, "{first}");
}

#[test]
fn one_popular_key_spills_over_when_its_endpoint_has_more_than_its_bound() {
    let upstream = hashed(&[PLAIN; 4], Some(1.25));
    let ask = Ask::keyed(b"/popular");
    let attempts: Vec<_> = (0..40).map(|_| upstream.pick_for(&ask, &Tried::new(), at(0.0)).unwrap()).collect();
    let loads: Vec<_> = upstream.endpoints().iter().map(|e| e.in_flight()).collect();
    assert!(loads.iter().all(|load| *load <= 13), "{loads:?}: 1.25 times 10, rounded up");
    assert_eq!(loads.iter().max(), Some(&13), "{loads:?}");
    drop(attempts);
    let unbounded = hashed(&[PLAIN; 4], None);
    let _attempts: Vec<_> = (0..40).map(|_| unbounded.pick_for(&ask, &Tried::new(), at(0.0))).collect();
    assert!(unbounded.endpoints().iter().any(|e| e.in_flight() == 40));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_bound_is_never_exceeded(
        weights in prop::collection::vec(1u32..6, 2..8),
        factor in 1.0f64..3.0,
        steps in prop::collection::vec((0u32..6, any::<bool>()), 1..200),
    ) {
        let entries: Vec<_> = weights.iter().map(|weight| Entry { weight: *weight, ..PLAIN }).collect();
        let upstream = hashed(&entries, Some(factor));
        let total_weight: u32 = weights.iter().sum();
        let mut attempts = Vec::new();
        for (number, ends) in steps {
            if ends && !attempts.is_empty() {
                attempts.remove(0);
            }
            let attempt = upstream.pick_for(&Ask::keyed(key(number).as_bytes()), &Tried::new(), at(0.0));
            let attempt = attempt.expect("some endpoint is within its bound");
            let endpoint = attempt.endpoint().clone();
            attempts.push(attempt);
            let weight = weights[usize::from(endpoint.address().ip().unwrap().port()) - 1];
            let part = attempts.len() as f64 * f64::from(weight) / f64::from(total_weight);
            // The factor is kept in thousandths.
            prop_assert!(f64::from(endpoint.in_flight()) <= ((factor + 0.0006) * part).ceil());
        }
    }
}

fn by_client(entries: &[Entry]) -> Upstream {
    upstream(Policy::IpHash, entries, |_| {})
}

fn client(a: u8, b: u8, c: u8, d: u8) -> Ask<'static> {
    Ask::from(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
}

#[test]
fn a_client_network_stays_at_one_endpoint() {
    let upstream = by_client(&[PLAIN; 5]);
    let mut used = std::collections::HashSet::new();
    for network in 0..100 {
        let first = place_for(&upstream, &client(10, 1, network, 1));
        assert!((2..20).all(|host| place_for(&upstream, &client(10, 1, network, host)) == first));
        used.insert(first);
    }
    assert_eq!(used.len(), 5);
}

#[test]
fn an_ipv6_client_counts_with_its_whole_address_and_a_mapped_one_as_ipv4() {
    let upstream = by_client(&[PLAIN; 7]);
    let places: std::collections::HashSet<_> =
        (0..50).map(|n| place_for(&upstream, &Ask::from(format!("2001:db8::{n:x}").parse().unwrap()))).collect();
    assert!(places.len() > 3);
    let mapped = Ask::from("::ffff:10.1.2.3".parse().unwrap());
    assert_eq!(place_for(&upstream, &mapped), place_for(&upstream, &client(10, 1, 2, 200)));
}

proptest! {
    /// `ngx_http_upstream_get_ip_hash_peer` in its plainest form.
    #[test]
    fn clients_go_where_nginx_sends_them(
        weights in prop::collection::vec(1u32..5, 2..6),
        octets in any::<[u8; 4]>(),
        out in prop::collection::vec(any::<bool>(), 6),
    ) {
        let entries: Vec<_> =
            weights.iter().zip(&out).map(|(weight, down)| Entry { weight: *weight, down: *down, ..PLAIN }).collect();
        prop_assume!(entries.iter().any(|entry| !entry.down));
        let upstream = by_client(&entries);
        let total: u32 = weights.iter().sum();
        let mut hash = 89u32;
        let mut expected = None;
        for _ in 0..=20 {
            for octet in &octets[..3] {
                hash = (hash * 113 + u32::from(*octet)) % 6271;
            }
            let mut w = (hash % total) as i64;
            let mut at = 0;
            while w >= i64::from(weights[at]) {
                w -= i64::from(weights[at]);
                at += 1;
            }
            if !entries[at].down {
                expected = Some(at as u16 + 1);
                break;
            }
        }
        let [a, b, c, d] = octets;
        let place = place_for(&upstream, &client(a, b, c, d));
        prop_assert!(expected.is_none_or(|expected| expected == place), "{expected:?} {place}");
    }
}
