//! When an endpoint is taken out, and when it comes back.

use super::*;

#[test]
fn max_fails_failures_eject() {
    let upstream = with_ejection(&[PLAIN; 2], 3, 30, 0.0);
    fail(&upstream, 1, 0.0);
    fail(&upstream, 1, 0.0);
    assert!(!is_ejected(&upstream, 1, 0.0));
    fail(&upstream, 1, 0.0);
    assert!(is_ejected(&upstream, 1, 0.0));
}

#[test]
fn failures_at_0_25_and_50_seconds_eject_with_a_fail_timeout_of_30() {
    let upstream = with_ejection(&[PLAIN; 2], 3, 30, 0.0);
    fail(&upstream, 1, 0.0);
    succeed(&upstream, 1, 10.0);
    fail(&upstream, 1, 25.0);
    succeed(&upstream, 1, 40.0);
    fail(&upstream, 1, 50.0);
    assert!(is_ejected(&upstream, 1, 50.0));
}

#[test]
fn a_success_clears_failures_only_if_picked_more_than_fail_timeout_after_the_last_check() {
    for (success, cleared) in [(30.9, false), (31.0, true)] {
        let upstream = with_ejection(&[PLAIN; 2], 2, 30, 0.0);
        fail(&upstream, 1, 0.0);
        succeed(&upstream, 1, success);
        fail(&upstream, 1, success);
        assert_eq!(is_ejected(&upstream, 1, success), !cleared, "success at {success}");
    }
}

#[test]
fn an_ejected_endpoint_is_out_for_fail_timeout_in_whole_seconds() {
    let upstream = with_ejection(&[PLAIN; 2], 1, 10, 0.0);
    fail(&upstream, 1, 0.0);
    for (second, ejected) in [(0.0, true), (10.0, true), (10.9, true), (11.0, false)] {
        assert_eq!(is_ejected(&upstream, 1, second), ejected, "at {second}");
    }
}

#[test]
fn when_the_time_is_over_a_single_request_probes() {
    let upstream = with_ejection(&[PLAIN; 2], 1, 10, 0.0);
    fail(&upstream, 1, 0.0);
    let _elsewhere = attempt_at(&upstream, 2, 0.0);
    let probe = pick(&upstream, 11.0).unwrap();
    assert_eq!((place(&probe), probe.is_probe()), (1, true));
    assert_eq!(places_one_by_one(&upstream, 3, 12.0), [2; 3]);
}

#[test]
fn a_probe_that_succeeds_clears_the_record() {
    let upstream = with_ejection(&[PLAIN; 2], 3, 10, 0.0);
    (0..3).for_each(|_| fail(&upstream, 1, 0.0));
    succeed(&upstream, 1, 11.0);
    assert!(!is_ejected(&upstream, 1, 11.0));
    fail(&upstream, 1, 12.0);
    fail(&upstream, 1, 12.0);
    assert!(!is_ejected(&upstream, 1, 12.0), "three failures are needed again");
}

#[test]
fn a_probe_that_fails_ejects_again_at_once() {
    let upstream = with_ejection(&[PLAIN; 2], 3, 10, 0.0);
    (0..3).for_each(|_| fail(&upstream, 1, 0.0));
    fail(&upstream, 1, 11.0);
    assert!(is_ejected(&upstream, 1, 21.0) && !is_ejected(&upstream, 1, 22.0));
    assert_eq!(upstream.endpoints()[0].ejections_total(), 2);
}

#[test]
fn a_probe_that_tells_nothing_leaves_the_endpoint_out_until_the_next() {
    let upstream = with_ejection(&[PLAIN; 2], 1, 10, 0.0);
    fail(&upstream, 1, 0.0);
    drop(attempt_at(&upstream, 1, 11.0));
    assert!(is_ejected(&upstream, 1, 21.0) && !is_ejected(&upstream, 1, 22.0));
}

#[test]
fn failures_that_were_under_way_prolong_an_ejection_and_are_no_second_one() {
    let upstream = with_ejection(&[PLAIN; 2], 1, 10, 0.0);
    let late = attempt_at(&upstream, 1, 0.0);
    fail(&upstream, 1, 0.0);
    late.fail(at(5.0));
    assert!(is_ejected(&upstream, 1, 15.0) && !is_ejected(&upstream, 1, 16.0));
    let endpoint = &upstream.endpoints()[0];
    assert_eq!((endpoint.failures_total(), endpoint.ejections_total()), (2, 1));
}

#[test]
fn max_fails_0_never_ejects() {
    let upstream = with_ejection(&[PLAIN; 2], 0, 10, 0.0);
    (0..100).for_each(|_| fail(&upstream, 1, 0.0));
    assert!(!is_ejected(&upstream, 1, 0.0));
    assert_eq!(upstream.endpoints()[0].failures_total(), 100);
}

#[test]
fn the_only_endpoint_is_never_ejected() {
    let upstream = with_ejection(&[PLAIN], 1, 10, 0.0);
    (0..5).for_each(|_| fail(&upstream, 1, 0.0));
    assert!(!is_ejected(&upstream, 1, 0.0) && pick(&upstream, 0.0).is_some());
}

#[test]
fn one_primary_with_a_backup_is_ejected() {
    let upstream = with_ejection(&[PLAIN, BACKUP], 1, 10, 0.0);
    fail(&upstream, 1, 0.0);
    assert_eq!(places(&upstream, 1), [2]);
}

#[test]
fn with_all_ejected_there_is_no_choice_and_no_quick_recovery() {
    let upstream = with_ejection(&[PLAIN; 2], 1, 10, 0.0);
    fail(&upstream, 1, 0.0);
    fail(&upstream, 2, 0.0);
    assert!(pick(&upstream, 0.0).is_none() && pick(&upstream, 10.0).is_none());
    assert!(pick(&upstream, 11.0).is_some());
}

#[test]
fn the_floor_keeps_half_of_the_primaries_in() {
    let upstream = with_ejection(&[PLAIN; 4], 1, 10, 0.5);
    (1..=4).for_each(|place| fail(&upstream, place, 0.0));
    let ejected: Vec<_> = (1..=4).filter(|place| is_ejected(&upstream, *place, 0.0)).collect();
    assert_eq!(ejected, [1, 2]);
    assert_eq!(upstream.ejections_withheld_total(), 2);
}

#[test]
fn the_floor_is_rounded_up_to_whole_endpoints() {
    let upstream = with_ejection(&[PLAIN; 3], 1, 10, 0.5);
    fail(&upstream, 1, 0.0);
    fail(&upstream, 2, 0.0);
    assert!(is_ejected(&upstream, 1, 0.0) && !is_ejected(&upstream, 2, 0.0));
}

#[test]
fn an_endpoint_that_only_waits_for_its_probe_does_not_hold_the_floor() {
    let upstream = with_ejection(&[PLAIN; 2], 1, 10, 0.5);
    fail(&upstream, 1, 0.0);
    fail(&upstream, 2, 20.0);
    assert!(!is_ejected(&upstream, 2, 20.0), "1 is past its time but has not answered");
}

#[test]
fn a_withheld_ejection_happens_at_the_next_failure_once_others_are_back() {
    let upstream = with_ejection(&[PLAIN; 2], 1, 10, 0.5);
    fail(&upstream, 1, 0.0);
    fail(&upstream, 2, 0.0);
    succeed(&upstream, 1, 11.0);
    assert!(!is_ejected(&upstream, 2, 11.0));
    fail(&upstream, 2, 11.0);
    assert!(is_ejected(&upstream, 2, 11.0));
}

#[test]
fn down_primaries_and_backups_are_no_part_of_the_floor() {
    let upstream = with_ejection(&[PLAIN, PLAIN, DOWN, DOWN, BACKUP], 1, 10, 0.5);
    fail(&upstream, 1, 0.0);
    assert!(is_ejected(&upstream, 1, 0.0), "one of two usable primaries is left");
    let _full = attempt_at(&upstream, 2, 0.0);
    fail(&upstream, 2, 0.0);
    assert!(!is_ejected(&upstream, 2, 0.0));
}

#[test]
fn a_backup_may_be_ejected_whatever_the_floor() {
    let upstream = with_ejection(&[PLAIN, BACKUP, BACKUP], 1, 10, 1.0);
    fail(&upstream, 2, 0.0);
    assert!(is_ejected(&upstream, 2, 0.0));
}
