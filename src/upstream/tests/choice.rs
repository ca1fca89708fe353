//! Which endpoint is chosen.

use std::sync::Arc;

use super::*;

#[test]
fn the_endpoint_with_the_fewest_attempts_in_flight_is_chosen() {
    let upstream = least_conn(&[PLAIN; 3]);
    let first: Vec<_> = (0..3).map(|_| pick(&upstream, 0.0).unwrap()).collect();
    let free = place(&first[1]);
    let _others: Vec<_> = first.into_iter().filter(|attempt| place(attempt) != free).collect();
    assert_eq!(place(&pick(&upstream, 0.0).unwrap()), free);
}

#[test]
fn in_flight_is_weighed_by_the_configured_weight() {
    let upstream = least_conn(&[Entry { weight: 3, ..PLAIN }, PLAIN]);
    let chosen = places(&upstream, 8);
    assert_eq!(chosen.iter().filter(|place| **place == 1).count(), 6);
}

#[test]
fn a_tie_is_broken_by_smooth_weighted_round_robin_over_the_tied_only() {
    let upstream = least_conn(&[Entry { weight: 2, ..PLAIN }, PLAIN, PLAIN]);
    let _busy = attempt_at(&upstream, 3, 0.0);
    assert_eq!(places_one_by_one(&upstream, 6, 0.0), [1, 2, 1, 1, 2, 1]);
}

#[test]
fn without_a_tie_no_weight_moves() {
    let upstream = least_conn(&[PLAIN; 2]);
    let busy = attempt_at(&upstream, 1, 0.0);
    assert_eq!(places_one_by_one(&upstream, 5, 0.0), [2; 5]);
    drop(busy);
    assert_eq!(places_one_by_one(&upstream, 4, 0.0), [1, 2, 1, 2], "had weights moved, 2 would owe five turns");
}

#[test]
fn an_attempt_counts_until_it_is_dropped() {
    let upstream = least_conn(&[PLAIN; 2]);
    let attempt = pick(&upstream, 0.0).unwrap();
    let endpoint = Arc::clone(attempt.endpoint());
    attempt.succeed(at(0.0));
    assert_eq!(endpoint.in_flight(), 1);
    drop(attempt);
    assert_eq!(endpoint.in_flight(), 0);
}

#[test]
fn what_was_tried_is_down_or_at_max_conns_is_skipped() {
    let upstream = least_conn(&[Entry { max_conns: 1, ..PLAIN }, DOWN, PLAIN, PLAIN]);
    let _full = attempt_at(&upstream, 1, 0.0);
    let mut tried = Tried::new();
    tried.insert(upstream.endpoints()[2].id());
    for _ in 0..3 {
        assert_eq!(place(&upstream.pick(&tried, at(0.0)).unwrap()), 4);
    }
}

#[test]
fn what_is_ejected_is_skipped() {
    let upstream = least_conn(&[PLAIN; 2]);
    fail(&upstream, 1, 0.0);
    assert_eq!(places(&upstream, 3), [2; 3]);
}

#[test]
fn backups_serve_only_when_no_primary_qualifies() {
    let upstream = least_conn(&[Entry { max_conns: 2, ..PLAIN }, BACKUP]);
    assert_eq!(places(&upstream, 4), [1, 1, 2, 2]);
}

#[test]
fn a_request_that_came_down_to_a_backup_stays_with_the_backups() {
    let upstream = least_conn(&[Entry { max_conns: 1, ..PLAIN }, BACKUP, BACKUP]);
    let full = pick(&upstream, 0.0).unwrap();
    let backup = pick(&upstream, 0.0).unwrap();
    let mut tried = Tried::new();
    tried.insert(backup.endpoint().id());
    drop(full);
    assert_eq!(place(&upstream.pick(&tried, at(0.0)).unwrap()), 3);
}

#[test]
fn the_only_endpoint_is_chosen_again_though_it_was_tried() {
    let upstream = least_conn(&[PLAIN]);
    let mut tried = Tried::new();
    tried.insert(upstream.endpoints()[0].id());
    assert!(upstream.pick(&tried, at(0.0)).is_some());
}

#[test]
fn the_only_endpoint_keeps_its_cap_and_its_down() {
    let capped = least_conn(&[Entry { max_conns: 1, ..PLAIN }]);
    let _full = pick(&capped, 0.0).unwrap();
    assert!(pick(&capped, 0.0).is_none());
    assert!(pick(&least_conn(&[DOWN]), 0.0).is_none());
}

#[test]
fn round_robin_is_smooth_and_weighted() {
    let weights = [5, 1, 1].map(|weight| Entry { weight, ..PLAIN });
    let upstream = upstream(Policy::RoundRobin, &weights, |_| {});
    assert_eq!(places(&upstream, 14), [1, 1, 2, 1, 3, 1, 1, 1, 1, 2, 1, 3, 1, 1]);
}

#[test]
fn a_failure_takes_its_share_of_the_weight_and_each_pass_gives_one_back() {
    let weights = [4, 4].map(|weight| Entry { weight, ..PLAIN });
    let upstream = upstream(Policy::RoundRobin, &weights, |config| config.ejection.max_fails = 2);
    // The attempt itself is a pass over endpoint 1 alone: it is credited 4 and pays 4.
    fail(&upstream, 1, 0.0);
    // Its effective weight is 2 now, then 3, then 4 again. Credits: 2|4, 5|2, 2|6, 6|2, 2|6.
    assert_eq!(places(&upstream, 5), [2, 1, 2, 1, 2]);
}
