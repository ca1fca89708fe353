//! `slow_start`, with the time handed in.

use super::*;

fn slowly(policy: Policy, entries: &[Entry]) -> Upstream {
    let upstream = upstream(policy, entries, |config| config.slow_start = Some(Duration::from_secs(30)));
    upstream.balance.dice().reseed(1);
    upstream
}

/// Of 2000 picks at this second, each of which ends at once, the share that goes to this place.
fn share(upstream: &Upstream, wanted: u16, second: f64) -> f64 {
    let chosen = places_one_by_one(upstream, 2000, second);
    chosen.iter().filter(|place| **place == wanted).count() as f64 / 2000.0
}

#[test]
fn a_returned_endpoint_gets_its_part_little_by_little() {
    for policy in [Policy::LeastConn, Policy::RoundRobin] {
        let upstream = slowly(policy.clone(), &[PLAIN; 4]);
        assert!((share(&upstream, 1, 0.0) - 0.25).abs() < 0.02, "{policy:?} at the start");
        fail(&upstream, 1, 0.0);
        succeed(&upstream, 1, 11.0);
        // Its part is in proportion to its time, out of itself and three whole ones.
        for (second, part) in [(11.0, 0.0), (14.0, 0.1), (26.0, 0.5), (38.0, 0.9), (41.0, 1.0)] {
            let (seen, expected) = (share(&upstream, 1, second), part / (part + 3.0));
            assert!((seen - expected).abs() < 0.03, "{policy:?} at {second}: {seen} instead of {expected}");
        }
    }
}

#[test]
fn attempts_in_flight_grow_with_it() {
    let upstream = slowly(Policy::LeastConn, &[PLAIN; 4]);
    fail(&upstream, 1, 0.0);
    succeed(&upstream, 1, 11.0);
    let attempts: Vec<_> = (0..300).map(|_| pick(&upstream, 14.0).unwrap()).collect();
    let first = attempts.iter().filter(|attempt| place(attempt) == 1).count();
    assert!((4..=16).contains(&first), "{first} of 300 with a tenth of the weight of three others");
}

#[test]
fn with_least_time_it_starts_slowly_too() {
    let upstream = slowly(Policy::LeastTime, &[PLAIN; 2]);
    fail(&upstream, 1, 0.0);
    succeed(&upstream, 1, 11.0);
    upstream.endpoints().iter().for_each(|e| e.note_time(Duration::from_millis(10), false, at(14.0)));
    let attempts: Vec<_> = (0..110).map(|_| pick(&upstream, 14.0).unwrap()).collect();
    let first = attempts.iter().filter(|attempt| place(attempt) == 1).count();
    assert!((3..=15).contains(&first), "{first}");
}

#[test]
fn what_a_reload_adds_starts_slowly_from_its_first_chance_on() {
    let old = slowly(Policy::LeastConn, &[PLAIN; 2]);
    let mut config = old.config().clone();
    config.endpoints.push(config::Endpoint::at("10.0.0.1:3"));
    let new = Upstream::new(&config, Some(&old));
    assert!(share(&new, 3, 100.0) < 0.02);
    assert!((share(&new, 3, 115.0) - 0.2).abs() < 0.03);
    assert!((share(&new, 3, 130.0) - 1.0 / 3.0).abs() < 0.03);
}

#[test]
fn at_the_start_of_the_process_nobody_is_slow() {
    let upstream = slowly(Policy::LeastConn, &[PLAIN; 3]);
    assert!((share(&upstream, 3, 0.0) - 1.0 / 3.0).abs() < 0.02);
    let mut config = upstream.config().clone();
    config.endpoints[0].address = "a:1".to_owned();
    let named = Upstream::new(&config, None);
    assert!(share(&named, 2, 0.0) > 0.4);
    named.set_addresses("a:1", &["10.0.0.1:1".parse().unwrap()]);
    assert!(share(&named, 1, 0.1) > 0.3, "a name that is resolved at last is not new");
    named.set_addresses("a:1", &["10.0.0.1:1", "10.0.0.1:9"].map(|a| a.parse().unwrap()));
    assert!(share(&named, 9, 0.2) < 0.05, "but one more address of it is");
}

#[test]
fn if_all_have_just_come_back_they_serve() {
    let upstream = slowly(Policy::LeastConn, &[PLAIN; 2]);
    (1..=2).for_each(|place| fail(&upstream, place, 0.0));
    (1..=2).for_each(|place| succeed(&upstream, place, 11.0));
    assert!((share(&upstream, 1, 11.0) - 0.5).abs() < 0.1);
}
