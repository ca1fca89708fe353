//! What holds however many workers there are.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;

/// Runs `work` on four threads that start together.
fn on_four_threads(work: impl Fn(u32) + Sync) {
    let barrier = Barrier::new(4);
    let (barrier, work) = (&barrier, &work);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            });
        }
    });
}

#[test]
fn max_conns_is_never_exceeded_however_many_workers_pick() {
    for entries in [vec![Entry { max_conns: 3, ..PLAIN }; 2], vec![Entry { max_conns: 3, ..PLAIN }]] {
        let (upstream, full, exceeded) = (least_conn(&entries), AtomicU32::new(0), AtomicBool::new(false));
        on_four_threads(|thread| {
            for round in 0..5_000u32 {
                let held: Vec<_> = (0..1 + (round + thread) % 4).filter_map(|_| pick(&upstream, 0.0)).collect();
                full.fetch_add(u32::from(held.len() < 1 + ((round + thread) % 4) as usize), Ordering::Relaxed);
                let over = upstream.endpoints().iter().any(|endpoint| endpoint.in_flight() > 3);
                exceeded.fetch_or(over, Ordering::Relaxed);
            }
        });
        assert!(!exceeded.into_inner());
        assert!(full.into_inner() > 0, "the cap was never reached, so nothing was tried");
        assert!(upstream.endpoints().iter().all(|endpoint| endpoint.in_flight() == 0));
    }
}

#[test]
fn least_conn_stays_balanced_over_four_workers() {
    let weights: Vec<u32> = (0..64).map(|place| 1 + place % 5).collect();
    let entries: Vec<_> = weights.iter().map(|weight| Entry { weight: *weight, ..PLAIN }).collect();
    for _ in 0..40 {
        let upstream = least_conn(&entries);
        on_four_threads(|_| (0..1001).for_each(|_| std::mem::forget(pick(&upstream, 0.0))));
        let loads: Vec<_> = upstream.endpoints().iter().map(|e| e.in_flight()).zip(weights.clone()).collect();
        assert_eq!(loads.iter().map(|(in_flight, _)| in_flight).sum::<u32>(), 4 * 1001);
        // Whoever got the last attempt had the least before it: (n - 1) / weight is nowhere above another's n / weight.
        for &(last, weight) in &loads {
            assert!(loads.iter().all(|&(other, of)| (last - 1) * of <= other * weight), "{loads:?}");
        }
    }
}

#[test]
fn failures_of_all_workers_count_together() {
    let upstream = with_ejection(&[PLAIN; 2], 400, 10, 0.5);
    on_four_threads(|_| (0..100).for_each(|_| fail(&upstream, 1, 0.0)));
    assert!(is_ejected(&upstream, 1, 0.0));
    assert_eq!(upstream.endpoints()[0].failures_total(), 400);
}

#[test]
fn only_one_of_all_workers_probes() {
    for _ in 0..50 {
        let upstream = with_ejection(&[PLAIN; 2], 1, 10, 0.5);
        fail(&upstream, 1, 0.0);
        let probes = AtomicU32::new(0);
        on_four_threads(|_| {
            let attempts: Vec<_> = (0..20).filter_map(|_| pick(&upstream, 11.0)).collect();
            let mine = attempts.iter().filter(|attempt| place(attempt) == 1).count() as u32;
            probes.fetch_add(mine, Ordering::Relaxed);
        });
        assert_eq!(probes.into_inner(), 1);
    }
}

#[test]
fn the_bound_of_a_popular_key_holds_over_four_workers() {
    let hash = config::Hash { key: config::HashKey::Path, balance_factor: Some(1.25) };
    for _ in 0..20 {
        let upstream = upstream(Policy::Hash(hash.clone()), &[PLAIN; 8], |_| {});
        on_four_threads(|_| {
            (0..500).for_each(|_| std::mem::forget(upstream.pick_for(&Ask::keyed(b"popular"), &Tried::new(), at(0.0))));
        });
        let loads: Vec<_> = upstream.endpoints().iter().map(|e| e.in_flight()).collect();
        assert_eq!(loads.iter().sum::<u32>(), 2000);
        assert!(loads.iter().all(|load| *load <= 313), "{loads:?}: 1.25 times 250, rounded up");
    }
}

#[test]
fn an_endpoint_that_nobody_has_measured_is_tried_by_one_of_all_workers() {
    for _ in 0..20 {
        let upstream = upstream(Policy::LeastTime, &[PLAIN; 4], |_| {});
        (0..3).for_each(|at_place| upstream.endpoints()[at_place].note_time(Duration::from_millis(5), false, at(0.0)));
        on_four_threads(|_| (0..200).for_each(|_| std::mem::forget(pick(&upstream, 0.0))));
        assert_eq!(upstream.endpoints()[3].in_flight(), 1);
    }
}

#[test]
fn times_of_all_workers_count_together() {
    let upstream = upstream(Policy::LeastTime, &[PLAIN; 2], |_| {});
    upstream.endpoints()[1].note_time(Duration::from_millis(300), false, at(0.0));
    on_four_threads(|thread| {
        for took in 1..1000 {
            upstream.endpoints()[0].note_time(Duration::from_micros(u64::from(took * (thread + 1))), false, at(0.0));
        }
    });
    // The highest of them is 4 ms: lower than the other's.
    assert_eq!(places(&upstream, 10), [1; 10]);
}
