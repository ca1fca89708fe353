//! How policies share out requests among endpoints of which one is slow: a simulation by discrete events, without a clock.
//!
//! Ten endpoints serve four requests at a time each and let others wait in line. Service times are exponential with a
//! mean of 10 ms, at the slow endpoint 100 ms; requests arrive by chance (Poisson), so that the fast nine are half busy.
//! `cargo test --lib simulation -- --nocapture` prints the table.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;
use crate::config::{Hash, HashKey};

const ENDPOINTS: usize = 10;
const SLOTS: usize = 4;
const SLOW: usize = 0;
const REQUESTS: usize = 60_000;
/// Requests a second. The fast nine can serve 3600, the slow one 40.
const RATE: f64 = 1800.0;

/// What a policy led to.
#[derive(Debug)]
struct Outcome {
    /// Requests by endpoint.
    spread: [usize; ENDPOINTS],
    /// Milliseconds from arrival to response, in order.
    times: Vec<f64>,
}

impl Outcome {
    fn percentile(&self, share: f64) -> f64 {
        self.times[((self.times.len() - 1) as f64 * share) as usize]
    }
}

/// Uniform numbers of a linear congruential generator (Knuth's MMIX), and what can be made of them.
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform().ln()
    }
}

struct Request {
    arrived: f64,
    attempt: InFlight,
}

#[derive(Default)]
struct Server {
    serving: usize,
    waiting: VecDeque<Request>,
}

fn simulate(policy: Policy, slowdown: f64) -> Outcome {
    let upstream = upstream(policy, &[PLAIN; ENDPOINTS], |_| {});
    upstream.balance.dice().reseed(7);
    let mut chance = Chance(42);
    let mut servers: Vec<Server> = (0..ENDPOINTS).map(|_| Server::default()).collect();
    let mut served: Vec<Option<Request>> = Vec::new();
    // Nanoseconds, then what was begun; what comes first is on top.
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut outcome = Outcome { spread: [0; ENDPOINTS], times: Vec::with_capacity(REQUESTS) };
    let mut arrival = 0.0;
    let mut arrived = 0;
    loop {
        let next_end = ends.peek().map(|Reverse((nanos, _))| *nanos as f64 / 1e9);
        let is_arrival = arrived < REQUESTS && next_end.is_none_or(|end| arrival <= end);
        let (now, at_server) = if is_arrival {
            let key = format!("client-{}", (chance.uniform() * 5000.0) as u32);
            let client = std::net::Ipv4Addr::from((chance.uniform() * 4e9) as u32);
            let ask = match upstream.config().policy {
                Policy::IpHash => Ask::from(client.into()),
                _ => Ask::keyed(key.as_bytes()),
            };
            let attempt = upstream.pick_for(&ask, &Tried::new(), at(arrival)).unwrap();
            let number = usize::from(place(&attempt)) - 1;
            outcome.spread[number] += 1;
            servers[number].waiting.push_back(Request { arrived: arrival, attempt });
            let now = arrival;
            arrived += 1;
            arrival += chance.exponential(1.0 / RATE);
            (now, number)
        } else {
            let Some(Reverse((nanos, begun))) = ends.pop() else { break };
            let now = nanos as f64 / 1e9;
            let request = served[begun].take().unwrap();
            let took = now - request.arrived;
            request.attempt.endpoint().note_time(Duration::from_secs_f64(took), false, at(now));
            outcome.times.push(took * 1e3);
            let number = usize::from(place(&request.attempt)) - 1;
            servers[number].serving -= 1;
            (now, number)
        };
        let server = &mut servers[at_server];
        while server.serving < SLOTS
            && let Some(request) = server.waiting.pop_front()
        {
            server.serving += 1;
            let mean = if at_server == SLOW { 0.01 * slowdown } else { 0.01 };
            ends.push(Reverse((((now + chance.exponential(mean)) * 1e9) as u64, served.len())));
            served.push(Some(request));
        }
    }
    outcome.times.sort_by(f64::total_cmp);
    outcome
}

fn hash(balance_factor: Option<f64>) -> Policy {
    Policy::Hash(Hash { key: HashKey::Path, balance_factor })
}

#[test]
fn with_one_endpoint_ten_times_slower_tails_are_as_theory_says() {
    let policies = [
        ("round_robin", Policy::RoundRobin),
        ("ip_hash", Policy::IpHash),
        ("hash", hash(None)),
        ("hash 1.25", hash(Some(1.25))),
        ("random", Policy::Random),
        ("least_conn", Policy::LeastConn),
        ("least_time", Policy::LeastTime),
    ];
    let mut p99 = std::collections::HashMap::new();
    let mut slow = std::collections::HashMap::new();
    println!("{:12} {:>9} {:>9} {:>9} {:>9} {:>9}", "", "slow one", "fast min", "fast max", "p50 ms", "p99 ms");
    for (name, policy) in policies {
        let outcome = simulate(policy, 10.0);
        let fast = &outcome.spread[SLOW + 1..];
        let percent = |n: &usize| format!("{:.1}%", *n as f64 * 100.0 / REQUESTS as f64);
        println!(
            "{name:12} {:>9} {:>9} {:>9} {:>9.1} {:>9.1}",
            percent(&outcome.spread[SLOW]),
            percent(fast.iter().min().unwrap()),
            percent(fast.iter().max().unwrap()),
            outcome.percentile(0.5),
            outcome.percentile(0.99)
        );
        assert_eq!(outcome.times.len(), REQUESTS);
        p99.insert(name, outcome.percentile(0.99));
        slow.insert(name, outcome.spread[SLOW]);
    }
    // What doesn't look at load gives the slow endpoint its whole part, and a line that only grows.
    for blind in ["round_robin", "ip_hash", "hash"] {
        assert!(p99[blind] > 10.0 * p99["random"], "{blind}");
    }
    assert!(p99["least_conn"] < p99["random"]);
    assert!(p99["least_time"] < p99["least_conn"]);
    assert!(p99["hash 1.25"] < p99["hash"]);
    assert!(slow["least_time"] < slow["least_conn"] && slow["least_conn"] < slow["random"]);
}

#[test]
fn among_equals_every_policy_spreads_evenly() {
    for (policy, deviation) in [
        (Policy::RoundRobin, 0.001),
        (Policy::LeastConn, 0.05),
        (Policy::Random, 0.05),
        (Policy::LeastTime, 0.2),
        (hash(None), 0.3),
        (hash(Some(1.25)), 0.3),
        (Policy::IpHash, 0.1),
    ] {
        let outcome = simulate(policy.clone(), 1.0);
        let mean = REQUESTS as f64 / ENDPOINTS as f64;
        for requests in outcome.spread {
            let seen = (requests as f64 / mean - 1.0).abs();
            assert!(seen <= deviation, "{policy:?}: {:?}", outcome.spread);
        }
    }
}
