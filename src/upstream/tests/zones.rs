//! Endpoints of one's own zone first.

use super::*;
use crate::config::Locality;

/// Half of the endpoints stand in zone "a", which is our own, the others in "b".
fn zoned(entries: &[Entry], min_local: f64) -> Upstream {
    upstream(Policy::LeastConn, entries, |config| {
        config.locality = Some(Locality { zone: "a".to_owned(), min_local });
        let half = config.endpoints.len() / 2;
        for (at, endpoint) in config.endpoints.iter_mut().enumerate() {
            endpoint.zone = Some(if at < half { "a" } else { "b" }.to_owned());
        }
    })
}

fn sorted(mut places: Vec<u16>) -> Vec<u16> {
    places.sort_unstable();
    places.dedup();
    places
}

#[test]
fn requests_stay_in_the_zone() {
    let upstream = zoned(&[PLAIN; 4], 0.5);
    assert_eq!(sorted(places(&upstream, 100)), [1, 2]);
}

#[test]
fn while_enough_of_the_zone_is_left_they_stay() {
    let upstream = zoned(&[PLAIN; 4], 0.5);
    fail(&upstream, 1, 0.0);
    assert_eq!(sorted(places(&upstream, 10)), [2]);
}

#[test]
fn with_too_few_left_all_zones_are_used() {
    let upstream = zoned(&[PLAIN; 4], 0.6);
    fail(&upstream, 1, 0.0);
    assert_eq!(sorted(places(&upstream, 12)), [2, 3, 4]);
    succeed(&upstream, 1, 11.0);
    assert_eq!(sorted(places_one_by_one(&upstream, 10, 11.0)), [1, 2]);
}

#[test]
fn what_the_zone_has_no_room_for_goes_elsewhere() {
    let upstream = zoned(&[Entry { max_conns: 1, ..PLAIN }; 4], 0.5);
    assert_eq!(sorted(places(&upstream, 2)), [1, 2]);
    let local: Vec<_> = (0..2).map(|_| pick(&upstream, 0.0).unwrap()).collect();
    assert!(local.iter().all(|attempt| place(attempt) <= 2));
    assert_eq!(sorted(places(&upstream, 2)), [3, 4]);
}

#[test]
fn a_retry_of_what_the_zone_failed_goes_elsewhere() {
    let upstream = zoned(&[PLAIN; 2], 0.5);
    let mut tried = Tried::new();
    tried.insert(upstream.endpoints()[0].id());
    assert_eq!(place(&upstream.pick(&tried, at(0.0)).unwrap()), 2);
}

#[test]
fn a_zone_without_endpoints_is_no_preference() {
    let upstream = upstream(Policy::LeastConn, &[PLAIN; 3], |config| {
        config.locality = Some(Locality { zone: "elsewhere".to_owned(), min_local: 0.5 });
    });
    assert_eq!(sorted(places(&upstream, 9)), [1, 2, 3]);
}
