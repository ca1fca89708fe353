//! The peak EWMA of response times, with the time handed in.

use super::*;

fn least_time(entries: &[Entry]) -> Upstream {
    upstream(Policy::LeastTime, entries, |_| {})
}

/// A request at `second` that takes this long, wherever it goes: the place.
fn request(upstream: &Upstream, second: f64, took: impl Fn(u16) -> f64) -> u16 {
    let attempt = pick(upstream, second).unwrap();
    note(upstream, place(&attempt), took(place(&attempt)), second);
    place(&attempt)
}

fn note(upstream: &Upstream, place: u16, took: f64, second: f64) {
    let endpoint = &upstream.endpoints()[usize::from(place) - 1];
    endpoint.note_time(Duration::from_secs_f64(took), false, at(second));
}

#[test]
fn each_endpoint_is_measured_once_and_then_the_faster_one_is_preferred() {
    let upstream = least_time(&[PLAIN; 3]);
    let took = |place| if place == 2 { 0.01 } else { 0.1 };
    let mut first: Vec<_> = (0..3).map(|_| request(&upstream, 0.0, took)).collect();
    first.sort_unstable();
    assert_eq!(first, [1, 2, 3]);
    assert!((0..50).all(|_| request(&upstream, 0.0, took) == 2));
}

#[test]
fn what_nobody_has_measured_gets_one_request_at_a_time() {
    let upstream = least_time(&[PLAIN; 2]);
    note(&upstream, 1, 0.05, 0.0);
    let first = pick(&upstream, 0.0).unwrap();
    assert_eq!(place(&first), 2);
    let others: Vec<_> = (0..30).map(|_| pick(&upstream, 0.0).unwrap()).collect();
    assert!(others.iter().all(|attempt| place(attempt) == 1));
}

#[test]
fn requests_in_flight_weigh_as_much_as_time() {
    let upstream = least_time(&[PLAIN; 2]);
    note(&upstream, 1, 0.01, 0.0);
    note(&upstream, 2, 0.03, 0.0);
    // 1 × 10 ms, 2 × 10 ms, 3 × 10 ms, and then 2 is as good.
    let chosen = places(&upstream, 8);
    assert_eq!(chosen.iter().filter(|place| **place == 1).count(), 6, "{chosen:?}");
}

#[test]
fn weight_divides_the_time() {
    let upstream = least_time(&[PLAIN, Entry { weight: 4, ..PLAIN }]);
    note(&upstream, 1, 0.01, 0.0);
    note(&upstream, 2, 0.03, 0.0);
    assert_eq!(place(&pick(&upstream, 0.0).unwrap()), 2);
}

#[test]
fn an_endpoint_that_becomes_slow_is_left_at_once_and_comes_back_when_it_recovers() {
    let upstream = least_time(&[PLAIN; 2]);
    let even = |_| 0.01;
    (0..20).for_each(|n| {
        request(&upstream, f64::from(n) * 0.1, even);
    });
    let slow = |place| if place == 1 { 1.0 } else { 0.01 };
    let chosen: Vec<_> = (0..100).map(|n| request(&upstream, 2.0 + f64::from(n) * 0.1, slow)).collect();
    assert!(chosen.iter().filter(|place| **place == 1).count() <= 1, "{chosen:?}");
    // A hundred times slower: asked again after 10 s × ln 100, about 46 s.
    let chosen: Vec<_> = (0..1000).map(|n| request(&upstream, 12.0 + f64::from(n) * 0.1, even)).collect();
    let back = chosen.iter().position(|place| *place == 1).unwrap();
    assert!((250..550).contains(&back), "{back}");
    let late = &chosen[back + 100..];
    let share = late.iter().filter(|place| **place == 1).count() as f64 / late.len() as f64;
    assert!((0.3..0.7).contains(&share), "{share}");
}

#[test]
fn failing_quickly_is_not_being_fast() {
    for measured in [true, false] {
        let upstream = least_time(&[PLAIN; 2]);
        if measured {
            note(&upstream, 2, 0.1, 0.0);
        }
        for second in 0..9 {
            note(&upstream, 1, 0.05, f64::from(second));
            upstream.endpoints()[1].note_time(Duration::from_micros(100), true, at(f64::from(second)));
            assert_eq!(place(&pick(&upstream, f64::from(second)).unwrap()), 1, "{measured} at {second}");
        }
        // A failure that took long counts.
        upstream.endpoints()[0].note_time(Duration::from_secs(10), true, at(8.0));
        assert_eq!(place(&pick(&upstream, 8.0).unwrap()), 2);
    }
}

#[test]
fn times_are_kept_over_a_reload() {
    let old = least_time(&[PLAIN; 2]);
    note(&old, 1, 1.0, 0.0);
    note(&old, 2, 0.01, 0.0);
    let mut config = old.config().clone();
    config.max_fields = 50;
    let new = Upstream::new(&config, Some(&old));
    assert_eq!(places(&new, 10), [2; 10]);
}
