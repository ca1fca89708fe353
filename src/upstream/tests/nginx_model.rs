//! A naive nginx, written down from what it does, to compare with: lists, whole seconds, one thread.

use std::time::Duration;

use proptest::prelude::*;

use super::{Entry, at, upstream};
use crate::config::Policy;
use crate::upstream::{InFlight, Tried};

/// One address with the fields that nginx's text speaks of.
#[derive(Debug)]
struct ModelPeer {
    weight: i64,
    max_conns: u32,
    down: bool,
    conns: u32,
    fails: u32,
    accessed: i64,
    checked: i64,
    current_weight: i64,
    effective_weight: i64,
}

/// An upstream: primaries in list 0, backups in list 1.
#[derive(Debug)]
struct Model {
    lists: [Vec<ModelPeer>; 2],
    least_conn: bool,
    max_fails: u32,
    fail_timeout: i64,
}

/// What nginx keeps for a request: the list it is in, and which of it was tried.
#[derive(Clone, Debug, Default)]
struct ModelRequest {
    list: usize,
    tried: Vec<usize>,
}

impl Model {
    fn new(setup: &Setup) -> Self {
        let peers = |backup| {
            let entries = setup.entries.iter().filter(|e| e.backup == backup);
            let peer = |e: &Entry| ModelPeer {
                weight: i64::from(e.weight),
                max_conns: e.max_conns,
                down: e.down,
                conns: 0,
                fails: 0,
                accessed: 0,
                checked: 0,
                current_weight: 0,
                effective_weight: i64::from(e.weight),
            };
            entries.map(peer).collect()
        };
        Self {
            lists: [peers(false), peers(true)],
            least_conn: setup.policy == Policy::LeastConn,
            max_fails: setup.max_fails,
            fail_timeout: i64::from(setup.fail_timeout),
        }
    }

    fn is_single(&self) -> bool {
        self.lists[0].len() == 1 && self.lists[1].is_empty()
    }

    fn is_usable(&self, peer: &ModelPeer, now: i64) -> bool {
        let ejected = self.max_fails > 0 && peer.fails >= self.max_fails && now - peer.checked <= self.fail_timeout;
        let full = peer.max_conns > 0 && peer.conns >= peer.max_conns;
        !peer.down && !full && (self.is_single() || !ejected)
    }

    fn pick(&mut self, request: &mut ModelRequest, now: i64) -> Option<(usize, usize)> {
        if self.is_single() {
            if !self.is_usable(&self.lists[0][0], now) {
                return None;
            }
            self.lists[0][0].conns += 1;
            return Some((0, 0));
        }
        while request.list < 2 {
            if let Some(at) = self.pick_from(request, now) {
                return Some((request.list, at));
            }
            *request = ModelRequest { list: request.list + 1, tried: Vec::new() };
        }
        None
    }

    fn pick_from(&mut self, request: &mut ModelRequest, now: i64) -> Option<usize> {
        let list = &self.lists[request.list];
        let mut candidates: Vec<usize> =
            (0..list.len()).filter(|at| !request.tried.contains(at) && self.is_usable(&list[*at], now)).collect();
        let mut weights_move = true;
        if self.least_conn {
            let ratio = |at: usize| f64::from(list[at].conns) / list[at].weight as f64;
            let least = candidates.iter().map(|&at| ratio(at)).reduce(f64::min)?;
            candidates.retain(|&at| ratio(at) == least);
            weights_move = candidates.len() > 1;
        }
        let (fail_timeout, list) = (self.fail_timeout, &mut self.lists[request.list]);
        let mut winner = *candidates.first()?;
        if weights_move {
            let total: i64 = candidates.iter().map(|&at| list[at].effective_weight).sum();
            for &at in &candidates {
                list[at].current_weight += list[at].effective_weight;
                list[at].effective_weight = (list[at].effective_weight + 1).min(list[at].weight);
            }
            for &at in &candidates {
                if list[at].current_weight > list[winner].current_weight {
                    winner = at;
                }
            }
            list[winner].current_weight -= total;
        }
        let peer = &mut list[winner];
        if now - peer.checked > fail_timeout {
            peer.checked = now;
        }
        peer.conns += 1;
        request.tried.push(winner);
        Some(winner)
    }

    fn free(&mut self, (list, at): (usize, usize), failed: bool, now: i64) {
        let (single, max_fails) = (self.is_single(), self.max_fails);
        let peer = &mut self.lists[list][at];
        peer.conns -= 1;
        if single {
            return;
        }
        if !failed {
            if peer.accessed < peer.checked {
                peer.fails = 0;
            }
            return;
        }
        peer.fails += 1;
        peer.accessed = now;
        peer.checked = now;
        if max_fails > 0 {
            peer.effective_weight = (peer.effective_weight - peer.weight / i64::from(max_fails)).max(0);
        }
    }
}

#[derive(Clone, Debug)]
struct Setup {
    entries: Vec<Entry>,
    policy: Policy,
    max_fails: u32,
    fail_timeout: u32,
}

#[derive(Clone, Debug)]
enum Step {
    /// A new request's first attempt.
    Pick,
    /// The attempt under way with this index (modulo their number) succeeds.
    Succeed(usize),
    /// It fails, and that is that.
    Fail(usize),
    /// It fails, and its request tries again.
    Retry(usize),
    Wait(u32),
}

fn setups() -> impl Strategy<Value = Setup> {
    let rarely = || prop::bool::weighted(0.15);
    let entry = (1u32..5, prop_oneof![3 => Just(0u32), 1 => 1u32..4], rarely(), rarely())
        .prop_map(|(weight, max_conns, backup, down)| Entry { weight, max_conns, backup, down });
    let policy = prop_oneof![Just(Policy::LeastConn), Just(Policy::RoundRobin)];
    let max_fails = prop_oneof![1 => Just(0u32), 4 => 1u32..5];
    (prop::collection::vec(entry, 1..6), policy, max_fails, 1u32..12)
        .prop_map(|(entries, policy, max_fails, fail_timeout)| Setup { entries, policy, max_fails, fail_timeout })
        .prop_filter("nginx refuses an upstream of backups only", |setup| setup.entries.iter().any(|e| !e.backup))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Pick),
        3 => any::<usize>().prop_map(Step::Succeed),
        2 => any::<usize>().prop_map(Step::Fail),
        2 => any::<usize>().prop_map(Step::Retry),
        2 => (0u32..15).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..200)
}

/// An attempt under way, on both sides.
struct Pair {
    ours: InFlight,
    theirs: (usize, usize),
    tried: Tried,
    request: ModelRequest,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn every_choice_is_the_one_that_nginx_makes(setup in setups(), steps in steps()) {
        let ours = upstream(setup.policy.clone(), &setup.entries, |config| {
            config.ejection.max_fails = setup.max_fails;
            config.ejection.fail_timeout = Duration::from_secs(u64::from(setup.fail_timeout));
            config.ejection.min_available = 0.0;
        });
        let mut theirs = Model::new(&setup);
        let mut flying: Vec<Pair> = Vec::new();
        // nginx's clock reads long after any timeout.
        let mut now = 0u32;
        let long_ago = 1_000_000;

        for (number, step) in steps.into_iter().enumerate() {
            let seconds = long_ago + i64::from(now);
            let instant = at(f64::from(now));
            let (mut tried, mut request) = Default::default();
            match step {
                Step::Wait(seconds) => {
                    now += seconds;
                    continue;
                }
                Step::Pick => {}
                Step::Succeed(which) | Step::Fail(which) | Step::Retry(which) => {
                    if flying.is_empty() {
                        continue;
                    }
                    let pair = flying.remove(which % flying.len());
                    let failed = !matches!(step, Step::Succeed(_));
                    if failed { pair.ours.fail(instant) } else { pair.ours.succeed(instant) }
                    theirs.free(pair.theirs, failed, seconds);
                    if !matches!(step, Step::Retry(_)) {
                        continue;
                    }
                    (tried, request) = (pair.tried, pair.request);
                }
            }
            let expected = theirs.pick(&mut request, seconds);
            let picked = ours.pick(&tried, instant);
            let index = |(list, at): (usize, usize)| {
                let of_list = setup.entries.iter().enumerate().filter(|(_, e)| usize::from(e.backup) == list);
                of_list.map(|(index, _)| index).nth(at).unwrap()
            };
            let position = picked.as_ref().map(|p| usize::from(p.endpoint().address().ip().unwrap().port()) - 1);
            prop_assert_eq!(position, expected.map(index), "step {}: ours, then nginx's, of {:?}", number, theirs);
            if let (Some(attempt), Some(peer)) = (picked, expected) {
                tried.insert(attempt.endpoint().id());
                flying.push(Pair { ours: attempt, theirs: peer, tried, request });
            }
        }
    }
}
