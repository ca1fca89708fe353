//! The limiter's check: one key again and again, and a million keys in turn.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use tidegate::config::{Limit, Rate};
use tidegate::filter::limit::{LimitInput, Limiter, take};
use tidegate::http::address::Client;
use tidegate::http::head::Fields;

#[divan::bench(args = [1, 1000, 1_000_000])]
fn check(bencher: Bencher<'_, '_>, keys: u32) {
    let mut config = Limit::per_client("api", Rate::per_second(NonZeroU32::new(1_000_000).unwrap()), 1_000_000);
    config.max_keys = 1 << 20;
    let limits = [Arc::new(Limiter::new(&config))];
    let fields = Fields::default();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = (turn + 1) % keys;
        let client = Client::Ip(Ipv4Addr::from_bits(turn).into());
        let now = Duration::from_micros(1);
        black_box(take(&limits, &LimitInput { client, site: "site", fields: &fields, now }))
    });
}
