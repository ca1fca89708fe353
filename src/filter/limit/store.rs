//! The limiter's memory: a fixed table of keys and times, shared by all workers without locks.
//!
//! A slot is one 128-bit atomic: a key's hash, and the time at which its allowance is whole again. Both change together,
//! so nobody ever reads one key's time under another's hash. A key may stand in any of the eight slots of its set; in a
//! full set the key that has been quiet for longest gives way. Two keys share an allowance only if their keyed 64-bit
//! hashes collide.

use std::cell::Cell;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use governor::nanos::Nanos;
use governor::state::StateStore;
use portable_atomic::AtomicU128;

/// Slots that a key may stand in.
const WAYS: usize = 8;

/// A table of limiter keys.
#[derive(Debug)]
pub(super) struct Store {
    sets: Box<[Set]>,
    /// SipHash with keys from the operating system: a client can't aim at another's slot.
    hasher: RandomState,
}

/// Two cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Set([AtomicU128; WAYS]);

impl Store {
    /// Room for `max_keys`, rounded up to whole sets.
    pub(super) fn new(max_keys: usize) -> Self {
        let sets = max_keys.div_ceil(WAYS).max(1);
        Self { sets: (0..sets).map(|_| Set::default()).collect(), hasher: RandomState::new() }
    }

    /// What the table takes, in bytes: 16 a slot.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// The hash that stands for a key. Never 0, which marks an empty slot.
    pub(super) fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key).max(1)
    }

    /// When the key's allowance is whole again; `None` for a key that isn't held.
    fn read(&self, hash: u64) -> Option<u64> {
        self.set(hash).find(hash).map(|(_, slot)| slot.time)
    }

    /// Takes back `cost` nanoseconds of what a key was charged.
    pub(super) fn refund(&self, hash: u64, cost: u64) {
        let set = self.set(hash);
        while let Some((way, slot)) = set.find(hash) {
            if set.replace(way, slot, slot.at(slot.time.saturating_sub(cost))) {
                return;
            }
        }
    }

    fn set(&self, hash: u64) -> &Set {
        let place = (u128::from(hash) * self.sets.len() as u128) >> 64;
        &self.sets[place as usize]
    }
}

impl Set {
    fn load(&self, way: usize) -> Slot {
        Slot::unpack(self.0[way].load(Ordering::SeqCst))
    }

    fn find(&self, hash: u64) -> Option<(usize, Slot)> {
        (0..WAYS).map(|way| (way, self.load(way))).find(|(_, slot)| slot.hash == hash)
    }

    /// The slot to give away: an empty one, else the one whose allowance is whole first.
    fn oldest(&self) -> (usize, Slot) {
        let first = (0, self.load(0));
        (1..WAYS).map(|way| (way, self.load(way))).fold(first, |a, b| if b.1.time < a.1.time { b } else { a })
    }

    fn replace(&self, way: usize, from: Slot, to: Slot) -> bool {
        self.0[way].compare_exchange(from.pack(), to.pack(), Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn holds_elsewhere(&self, hash: u64, way: usize) -> bool {
        (0..WAYS).any(|other| other != way && self.load(other).hash == hash)
    }
}

/// One slot's content.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    hash: u64,
    time: u64,
}

impl Slot {
    const EMPTY: Slot = Slot { hash: 0, time: 0 };

    fn at(self, time: u64) -> Self {
        Self { time, ..self }
    }

    fn pack(self) -> u128 {
        u128::from(self.hash) << 64 | u128::from(self.time)
    }

    fn unpack(word: u128) -> Self {
        Self { hash: (word >> 64) as u64, time: word as u64 }
    }
}

/// One question to the store, as governor carries it: whose allowance, at what time, and whether to charge it.
///
/// Governor's clock stands still at zero, and the store tells it times relative to `now`, so that time is handed in and
/// not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) hash: u64,
    /// Nanoseconds since the process started.
    pub(super) now: u64,
    pub(super) charges: bool,
    /// The answer: how far ahead of `now` the allowance is whole again, the request included if it passes.
    pub(super) ahead: Cell<u64>,
}

impl Ticket {
    pub(super) fn peek(hash: u64, now: u64) -> Self {
        Self { hash, now, charges: false, ahead: Cell::new(0) }
    }

    pub(super) fn charge(hash: u64, now: u64) -> Self {
        Self { charges: true, ..Self::peek(hash, now) }
    }
}

impl Hash for Ticket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

/// A store held by the limiters of successive snapshots.
#[derive(Clone, Debug)]
pub(super) struct SharedStore(pub(super) Arc<Store>);

impl StateStore for SharedStore {
    type Key = Ticket;

    fn measure_and_replace<T, F, E>(&self, ticket: &Ticket, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // Decides by a key's time, and tells the outcome with the time to write.
        let weigh = |time: Option<u64>| {
            let ahead = time.map(|time| time.saturating_sub(ticket.now));
            ticket.ahead.set(ahead.unwrap_or(0));
            let (outcome, next) = decide(ahead.map(Nanos::new))?;
            ticket.ahead.set(next.as_u64());
            Ok((outcome, ticket.now.saturating_add(next.as_u64())))
        };
        if !ticket.charges {
            return weigh(self.0.read(ticket.hash)).map(|(outcome, _)| outcome);
        }
        let set = self.0.set(ticket.hash);
        loop {
            if let Some((way, slot)) = set.find(ticket.hash) {
                let (outcome, time) = weigh(Some(slot.time))?;
                if set.replace(way, slot, slot.at(time)) {
                    return Ok(outcome);
                }
                continue;
            }
            let (outcome, time) = weigh(None)?;
            let (way, victim) = set.oldest();
            let claimed = Slot { hash: ticket.hash, time };
            if !set.replace(way, victim, claimed) {
                continue;
            }
            // Two workers that meet a new key at once could each claim a slot for it: then whoever sees both gives its
            // own back, unless it was used meanwhile, and starts over.
            if set.holds_elsewhere(ticket.hash, way) && set.replace(way, claimed, Slot::EMPTY) {
                continue;
            }
            return Ok(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(store: &SharedStore, hash: u64, now: u64) -> u64 {
        let ticket = Ticket::charge(hash, now);
        let add_ten = |ahead: Option<Nanos>| Ok::<_, ()>(((), ahead.unwrap_or_default() + Nanos::new(10)));
        store.measure_and_replace(&ticket, add_ten).unwrap();
        ticket.ahead.get()
    }

    #[test]
    fn a_slot_is_sixteen_bytes_and_memory_is_what_max_keys_says() {
        for (max_keys, slots) in [(0, 8), (1, 8), (8, 8), (9, 16), (1 << 16, 1 << 16)] {
            assert_eq!(Store::new(max_keys).bytes(), slots * 16);
        }
    }

    #[test]
    fn times_are_kept_by_key_and_shrink_as_time_passes() {
        let store = SharedStore(Arc::new(Store::new(64)));
        assert_eq!(charge(&store, 1, 100), 10);
        assert_eq!(charge(&store, 1, 100), 20);
        assert_eq!(charge(&store, 2, 100), 10);
        assert_eq!(charge(&store, 1, 115), 15);
        assert_eq!(charge(&store, 1, 1000), 10);
    }

    #[test]
    fn a_peek_writes_nothing() {
        let store = SharedStore(Arc::new(Store::new(8)));
        let ticket = Ticket::peek(1, 100);
        store.measure_and_replace(&ticket, |_| Ok::<_, ()>(((), Nanos::new(10)))).unwrap();
        assert_eq!((ticket.ahead.get(), store.0.read(1)), (10, None));
    }

    #[test]
    fn a_full_set_gives_away_the_key_that_was_quiet_for_longest() {
        let store = SharedStore(Arc::new(Store::new(8)));
        for key in 1..=8 {
            charge(&store, key, 100 + key);
        }
        charge(&store, 1, 200);
        charge(&store, 9, 200);
        let held: Vec<_> = (1..=9).filter(|&key| store.0.read(key).is_some()).collect();
        assert_eq!(held, [1, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_refund_takes_one_charge_back() {
        let store = SharedStore(Arc::new(Store::new(8)));
        charge(&store, 1, 100);
        charge(&store, 1, 100);
        store.0.refund(1, 10);
        store.0.refund(2, 10);
        assert_eq!((store.0.read(1), store.0.read(2)), (Some(110), None));
    }

    #[test]
    fn hashes_spread_over_all_sets() {
        let store = Store::new(1024);
        let mut used: Vec<_> = (0..20_000).map(|key: u32| std::ptr::from_ref(store.set(store.hash(key)))).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 128);
    }

    #[test]
    fn workers_that_claim_slots_at_once_never_lose_or_share_a_charge() {
        let store = SharedStore(Arc::new(Store::new(8)));
        std::thread::scope(|scope| {
            for key in 1..=8 {
                let store = &store;
                scope.spawn(move || (0..2000).map(|_| charge(store, key, 100)).max());
            }
        });
        for key in 1..=8 {
            assert_eq!(store.0.read(key), Some(100 + 2000 * 10), "key {key}");
        }
    }
}
