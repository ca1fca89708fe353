//! What balancing and ejection promise, a sentence each, with the time handed in.

mod choice;
mod discovery;
mod ejection;
mod hash;
mod least_time;
mod nginx_model;
mod reload;
mod simulation;
mod slow_start;
mod sticky;
mod workers;
mod zones;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::seconds::epoch;
use super::{Ask, InFlight, Tried, Upstream};
use crate::config::{self, Policy};

/// What the tests vary of a configured endpoint; its port is its place, from 1.
#[derive(Clone, Copy, Debug)]
struct Entry {
    weight: u32,
    /// 0 is no cap.
    max_conns: u32,
    backup: bool,
    down: bool,
}

const PLAIN: Entry = Entry { weight: 1, max_conns: 0, backup: false, down: false };
const BACKUP: Entry = Entry { backup: true, ..PLAIN };
const DOWN: Entry = Entry { down: true, ..PLAIN };

fn at(second: f64) -> Instant {
    epoch() + Duration::from_secs_f64(second)
}

fn configured(policy: Policy, entries: &[Entry]) -> config::Upstream {
    let endpoint = |(place, entry): (usize, &Entry)| config::Endpoint {
        address: format!("10.0.0.1:{}", place + 1),
        weight: NonZeroU32::new(entry.weight).unwrap(),
        max_conns: NonZeroU32::new(entry.max_conns),
        backup: entry.backup,
        down: entry.down,
        zone: None,
        source: None,
    };
    config::Upstream {
        name: "backend".into(),
        policy,
        slow_start: None,
        sticky: None,
        locality: None,
        subset: None,
        endpoints: entries.iter().enumerate().map(endpoint).collect(),
        endpoints_file: None,
        max_endpoints: 1000,
        ejection: config::Ejection { max_fails: 1, fail_timeout: Duration::from_secs(10), min_available: 0.0 },
        retry: config::Retry {
            on: config::RetryOn {
                error: true,
                timeout: true,
                invalid_header: false,
                statuses: Vec::new(),
                non_idempotent: false,
            },
            tries: None,
            timeout: None,
            budget: Some(config::RetryBudget { ratio: 0.2, min_per_second: 3 }),
            max_replay_bytes: 65_536,
        },
        timeouts: config::UpstreamTimeouts::default(),
        protocol: config::UpstreamProtocol::Http1,
        tls: None,
        idle_connections: 256,
        splice: false,
        bind: Vec::new(),
        tcp: config::TcpOptions::default(),
        proxy_protocol: None,
        host: config::UpstreamHost::Request,
        max_head_bytes: 32_768,
        max_fields: 100,
    }
}

fn upstream(policy: Policy, entries: &[Entry], change: impl FnOnce(&mut config::Upstream)) -> Upstream {
    let mut config = configured(policy, entries);
    change(&mut config);
    Upstream::new(&config, None)
}

fn least_conn(entries: &[Entry]) -> Upstream {
    upstream(Policy::LeastConn, entries, |_| {})
}

fn with_ejection(entries: &[Entry], max_fails: u32, fail_timeout: u64, min_available: f64) -> Upstream {
    upstream(Policy::LeastConn, entries, |config| {
        config.ejection =
            config::Ejection { max_fails, fail_timeout: Duration::from_secs(fail_timeout), min_available };
    })
}

fn pick(upstream: &Upstream, second: f64) -> Option<InFlight> {
    upstream.pick(&Tried::new(), at(second))
}

/// Where a request goes that this was asked of; the attempt ends at once.
fn place_for(upstream: &Upstream, ask: &Ask<'_>) -> u16 {
    place(&upstream.pick_for(ask, &Tried::new(), at(0.0)).unwrap())
}

fn place(attempt: &InFlight) -> u16 {
    attempt.endpoint().address().ip().unwrap().port()
}

/// The places of `n` picks, none of which ends.
fn places(upstream: &Upstream, n: usize) -> Vec<u16> {
    let attempts: Vec<_> = (0..n).map(|_| pick(upstream, 0.0).unwrap()).collect();
    attempts.iter().map(place).collect()
}

/// The places of `n` picks that end at once.
fn places_one_by_one(upstream: &Upstream, n: usize, second: f64) -> Vec<u16> {
    (0..n).map(|_| place(&pick(upstream, second).unwrap())).collect()
}

/// An attempt at the endpoint of this place, whatever the policy would choose.
fn attempt_at(upstream: &Upstream, wanted: u16, second: f64) -> InFlight {
    let mut tried = Tried::new();
    let endpoints = upstream.endpoints();
    let backup = endpoints[usize::from(wanted) - 1].is_backup();
    let others = endpoints.iter().filter(|e| e.is_backup() == backup && e.address().ip().unwrap().port() != wanted);
    others.for_each(|e| tried.insert(e.id()));
    upstream.pick(&tried, at(second)).filter(|attempt| place(attempt) == wanted).unwrap()
}

fn fail(upstream: &Upstream, place: u16, second: f64) {
    attempt_at(upstream, place, second).fail(at(second));
}

fn succeed(upstream: &Upstream, place: u16, second: f64) {
    attempt_at(upstream, place, second).succeed(at(second));
}

fn is_ejected(upstream: &Upstream, place: u16, second: f64) -> bool {
    upstream.endpoints()[usize::from(place) - 1].is_ejected(at(second))
}
