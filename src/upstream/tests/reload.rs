//! Tries, names that resolve late, and what a reload carries over.

use super::*;

#[test]
fn tries_are_the_addresses_that_are_not_down_backups_included() {
    assert_eq!(least_conn(&[PLAIN, PLAIN, DOWN, BACKUP]).tries(), 3);
}

#[test]
fn configured_tries_can_only_lower_their_number() {
    for (configured, expected) in [(2, 2), (9, 3)] {
        let upstream =
            upstream(Policy::LeastConn, &[PLAIN; 3], |config| config.retry.tries = NonZeroU32::new(configured));
        assert_eq!(upstream.tries(), expected);
    }
}

fn named(names: &[&str]) -> config::Upstream {
    let mut config = configured(Policy::LeastConn, &vec![PLAIN; names.len()]);
    for (endpoint, name) in config.endpoints.iter_mut().zip(names) {
        endpoint.address = (*name).to_owned();
    }
    config
}

#[test]
fn a_name_is_without_endpoints_until_it_has_addresses() {
    let upstream = Upstream::new(&named(&["a:1", "10.0.0.1:2", "a:1"]), None);
    assert_eq!(upstream.unresolved().collect::<Vec<_>>(), ["a:1"]);
    assert_eq!(upstream.endpoints().len(), 1);
    let [one, two] = ["10.0.0.1:7", "10.0.0.1:8"].map(|a| a.parse().unwrap());
    upstream.set_addresses("a:1", &[one, two, one]);
    assert_eq!(upstream.unresolved().count(), 0);
    let endpoints = upstream.endpoints();
    let names: Vec<_> = endpoints.iter().map(|e| (e.configured(), e.name())).collect();
    let twice = [("a:1", "10.0.0.1:7"), ("a:1", "10.0.0.1:8")];
    assert_eq!(names, [twice[0], twice[1], ("10.0.0.1:2", "10.0.0.1:2"), twice[0], twice[1]]);
    assert_eq!(endpoints.iter().map(|e| e.id()).collect::<std::collections::HashSet<_>>().len(), 5);
}

#[test]
fn while_nothing_resolves_there_is_no_choice_and_one_try() {
    let upstream = Upstream::new(&named(&["a:1"]), None);
    assert!(pick(&upstream, 0.0).is_none());
    assert_eq!(upstream.tries(), 1);
}

#[test]
fn a_name_with_two_addresses_is_not_single() {
    let upstream = Upstream::new(&named(&["a:1"]), None);
    upstream.set_addresses("a:1", &["10.0.0.1:1", "10.0.0.1:2"].map(|a| a.parse().unwrap()));
    fail(&upstream, 1, 0.0);
    assert!(is_ejected(&upstream, 1, 0.0));
}

#[test]
fn an_empty_answer_keeps_the_last_good_one() {
    let upstream = Upstream::new(&named(&["a:1"]), None);
    upstream.set_addresses("a:1", &["10.0.0.1:1".parse().unwrap()]);
    upstream.set_addresses("a:1", &[]);
    assert_eq!(upstream.endpoints().len(), 1);
}

#[test]
fn addresses_that_stay_keep_their_state_when_others_come() {
    let upstream = Upstream::new(&named(&["a:1", "10.0.0.9:1"]), None);
    let [one, two] = ["10.0.0.1:1", "10.0.0.1:2"].map(|a| a.parse().unwrap());
    upstream.set_addresses("a:1", &[one]);
    let id = upstream.endpoints()[0].id();
    let _attempt = attempt_of(&upstream, id);
    upstream.set_addresses("a:1", &[two, one]);
    let endpoints = upstream.endpoints();
    assert_eq!((endpoints[1].id(), endpoints[1].in_flight(), endpoints[0].in_flight()), (id, 1, 0));
}

fn attempt_of(upstream: &Upstream, id: u32) -> InFlight {
    let mut tried = Tried::new();
    upstream.endpoints().iter().filter(|e| e.id() != id).for_each(|e| tried.insert(e.id()));
    upstream.pick(&tried, at(0.0)).filter(|attempt| attempt.endpoint().id() == id).unwrap()
}

#[test]
fn a_reload_keeps_in_flight_ejection_and_ids_by_address() {
    let old = with_ejection(&[PLAIN; 3], 1, 10, 0.0);
    fail(&old, 1, 0.0);
    let _attempt = attempt_at(&old, 2, 0.0);
    let mut config = old.config().clone();
    config.endpoints.reverse();
    let new = Upstream::new(&config, Some(&old));
    let (before, after) = (old.endpoints(), new.endpoints());
    assert_eq!(
        after.iter().rev().map(|e| e.id()).collect::<Vec<_>>(),
        before.iter().map(|e| e.id()).collect::<Vec<_>>()
    );
    assert_eq!(after.iter().map(|e| e.in_flight()).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(after.iter().map(|e| e.is_ejected(at(0.0))).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_reload_takes_weights_and_caps_from_the_new_configuration() {
    let old = least_conn(&[PLAIN; 2]);
    let mut config = old.config().clone();
    config.endpoints[0].weight = NonZeroU32::new(3).unwrap();
    config.endpoints[1].max_conns = NonZeroU32::new(1);
    let new = Upstream::new(&config, Some(&old));
    assert_eq!(places(&new, 8).iter().filter(|place| **place == 2).count(), 1);
    assert_eq!(places(&old, 8).iter().filter(|place| **place == 2).count(), 4, "the old one is as it was");
}

#[test]
fn an_attempt_from_before_a_reload_gives_its_place_back_after_it() {
    let old = least_conn(&[PLAIN; 2]);
    let attempt = attempt_at(&old, 1, 0.0);
    let new = Upstream::new(old.config(), Some(&old));
    drop(old);
    assert_eq!(new.endpoints()[0].in_flight(), 1);
    attempt.fail(at(0.0));
    drop(attempt);
    assert_eq!(new.endpoints()[0].in_flight(), 0);
    assert!(new.endpoints()[0].is_ejected(at(0.0)));
}

#[test]
fn a_reload_that_lowers_max_fails_ejects_nobody_by_itself() {
    let old = with_ejection(&[PLAIN; 2], 3, 10, 0.5);
    (1..=2).for_each(|place| fail(&old, place, 0.0));
    let mut config = old.config().clone();
    config.ejection.max_fails = 1;
    let new = Upstream::new(&config, Some(&old));
    assert!((1..=2).all(|place| !is_ejected(&new, place, 0.0)));
}

#[test]
fn a_reload_keeps_resolved_names() {
    let old = Upstream::new(&named(&["a:1", "b:1"]), None);
    old.set_addresses("a:1", &["10.0.0.1:1".parse().unwrap()]);
    let new = Upstream::new(&named(&["b:1", "a:1"]), Some(&old));
    assert_eq!(new.unresolved().collect::<Vec<_>>(), ["b:1"]);
    assert_eq!(new.endpoints()[0].id(), old.endpoints()[0].id());
}

#[test]
fn another_upstream_with_the_same_address_has_its_own_state() {
    let one = least_conn(&[PLAIN; 2]);
    let mut config = one.config().clone();
    config.name = "other".into();
    let other = Upstream::new(&config, Some(&one));
    assert_ne!(one.endpoints()[0].id(), other.endpoints()[0].id());
}

#[test]
fn a_reload_keeps_the_retry_budget_unless_it_changed() {
    let old = least_conn(&[PLAIN; 2]);
    assert!((0..3).all(|_| old.budget().take(at(0.0))));
    let same = Upstream::new(old.config(), Some(&old));
    assert!(!same.budget().take(at(0.0)));
    let mut config = old.config().clone();
    config.retry.budget = Some(config::RetryBudget { ratio: 0.5, min_per_second: 3 });
    assert!(Upstream::new(&config, Some(&old)).budget().take(at(0.0)));
}
