//! Label values and the ids that stand for them on the hot path.
//!
//! An id is given once and kept for the life of the process, so that a series continues over reloads. The number of ids
//! is bounded: what comes after counts under [`OTHER`], which keeps the series bounded too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The value of a label when there is nothing to name: a request that reached no route.
pub(super) const NONE: &str = "-";
/// The value that gathers everything past the bound.
pub(super) const OTHER: &str = "other";

/// A site and a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(u32);

impl RouteId {
    /// For requests that reached no route: site and route are `-`.
    pub const NONE: RouteId = RouteId(0);
}

/// An upstream and the address of one of its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointId(u32);

/// A rate limit's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitId(u32);

/// An upstream that TCP connections were passed on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpId(u32);

impl TcpId {
    /// For connections that got to no upstream.
    pub const NONE: TcpId = TcpId(0);
}

/// A listener's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u32);

/// A kind of id: how it is made, and how many there may be.
pub(super) trait Id: Copy {
    /// Ids in all, the two reserved ones among them.
    const BOUND: usize;

    fn from_index(index: u32) -> Self;
    fn index(self) -> usize;
}

macro_rules! ids {
    ($($id:ident = $bound:expr;)+) => {
        $(impl Id for $id {
            const BOUND: usize = $bound;

            fn from_index(index: u32) -> Self {
                Self(index)
            }

            fn index(self) -> usize {
                self.0 as usize
            }
        })+
    };
}

ids! {
    RouteId = 20_000;
    EndpointId = 10_000;
    LimitId = 1_000;
    ListenerId = 1_000;
    TcpId = 1_000;
}

/// The values of `N` labels.
pub(super) type Labels<const N: usize> = Arc<[Box<str>; N]>;

/// Label values seen so far, by id. Locked at reloads and scrapes, never by a request.
pub(super) struct Interner<const N: usize>(Mutex<Interned<N>>);

struct Interned<const N: usize> {
    ids: HashMap<Labels<N>, u32>,
    list: Vec<Labels<N>>,
}

impl<const N: usize> Interner<N> {
    /// Ids 0 and 1 are [`NONE`] and [`OTHER`].
    pub(super) fn new() -> Self {
        let list: Vec<Labels<N>> = [NONE, OTHER].map(|name| Arc::new([(); N].map(|()| name.into()))).into();
        let ids = (0..).zip(&list).map(|(id, labels)| (Arc::clone(labels), id)).collect();
        Self(Mutex::new(Interned { ids, list }))
    }

    /// The id of these values: the one they had before, a new one, or the one for [`OTHER`].
    pub(super) fn intern<I: Id>(&self, values: [&str; N]) -> I {
        let key: Labels<N> = Arc::new(values.map(Box::from));
        let mut interned = self.lock();
        let known = interned.ids.get(&key).copied();
        I::from_index(known.unwrap_or_else(|| {
            if interned.list.len() >= I::BOUND {
                return OTHER_INDEX;
            }
            let id = u32::try_from(interned.list.len()).unwrap_or(OTHER_INDEX);
            interned.ids.insert(Arc::clone(&key), id);
            interned.list.push(key);
            id
        }))
    }

    /// All values by id, as of now.
    pub(super) fn list(&self) -> Vec<Labels<N>> {
        self.lock().list.clone()
    }

    /// A panic elsewhere can't leave the two collections apart in a way that matters, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Interned<N>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const OTHER_INDEX: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_values_keep_their_id() {
        let interner = Interner::<2>::new();
        let first: RouteId = interner.intern(["a", "/"]);
        let second: RouteId = interner.intern(["a", "/b"]);
        assert_ne!(first, second);
        assert_eq!(first, interner.intern(["a", "/"]));
        assert_eq!(interner.list()[second.index()][1].as_ref(), "/b");
    }

    #[test]
    fn past_the_bound_everything_is_other() {
        let interner = Interner::<1>::new();
        for i in 0..LimitId::BOUND {
            interner.intern::<LimitId>([&i.to_string()]);
        }
        let late: LimitId = interner.intern(["late"]);
        assert_eq!(interner.list()[late.index()][0].as_ref(), OTHER);
        assert_eq!(interner.list().len(), LimitId::BOUND);
    }

    #[test]
    fn what_reached_no_route_has_an_id_of_its_own() {
        assert_eq!(Interner::<2>::new().list()[RouteId::NONE.index()].as_ref(), &[NONE.into(), NONE.into()]);
    }
}
