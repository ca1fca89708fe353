//! Choosing an endpoint and giving it back.

use std::time::Instant;

use divan::{Bencher, black_box};
use tidegate::config::{self, Policy};
use tidegate::upstream::{Tried, Upstream};

fn pick(bencher: Bencher<'_, '_>, policy: Policy, endpoints: usize) {
    let addresses = (0..endpoints).map(|n| format!("10.0.{}.{}:80", n / 250, n % 250 + 1));
    let upstream = Upstream::new(&config::Upstream { policy, ..config::Upstream::to("backend", addresses) }, None);
    let (tried, now) = (Tried::default(), Instant::now());
    bencher.bench_local(|| drop(black_box(upstream.pick(black_box(&tried), now))));
}

#[divan::bench(args = [2, 10, 1000])]
fn round_robin(bencher: Bencher<'_, '_>, endpoints: usize) {
    pick(bencher, Policy::RoundRobin, endpoints);
}

#[divan::bench(args = [2, 10, 1000])]
fn least_conn(bencher: Bencher<'_, '_>, endpoints: usize) {
    pick(bencher, Policy::LeastConn, endpoints);
}
