//! A growing list of cells that one worker fills and scrapes read, without a lock.
//!
//! Ids grow as reloads add routes and endpoints, while the worker writes. So the list is a fixed outer row of chunks,
//! each allocated when its first cell is, and a cell is allocated when it is first counted in: a route that this worker
//! never served costs 16 bytes at most.

use std::sync::OnceLock;

/// Cells by id, below a fixed bound.
pub(super) struct Slots<T> {
    chunks: Box<[OnceLock<Chunk<T>>]>,
}

type Chunk<T> = Box<[OnceLock<Box<T>>; CHUNK]>;

impl<T: Default> Slots<T> {
    /// Room for ids below `bound`.
    pub(super) fn new(bound: usize) -> Self {
        Self { chunks: (0..bound.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }

    /// The cell of `id`, allocated at its first use; `None` past the bound. Only the owning worker calls this, so
    /// nobody ever waits in an initialization.
    pub(super) fn cell(&self, id: usize) -> Option<&T> {
        let chunk = self.chunks.get(id / CHUNK)?.get_or_init(|| Box::new([const { OnceLock::new() }; CHUNK]));
        Some(chunk[id % CHUNK].get_or_init(Box::default))
    }

    /// The cell of `id` if anything was counted in it.
    pub(super) fn get(&self, id: usize) -> Option<&T> {
        self.chunks.get(id / CHUNK)?.get()?[id % CHUNK].get().map(Box::as_ref)
    }
}

/// Cells in one chunk: 1 KiB of pointers.
const CHUNK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::cell::Cell;

    #[test]
    fn only_what_was_counted_is_there() {
        let slots = Slots::<Cell>::new(130);
        slots.cell(129).unwrap().add(7);
        assert_eq!(slots.get(129).map(Cell::get), Some(7));
        assert!(slots.get(128).is_none());
        assert!(slots.get(0).is_none());
    }

    #[test]
    fn an_id_past_the_bound_has_no_cell() {
        let slots = Slots::<Cell>::new(64);
        assert!(slots.cell(63).is_some());
        assert!(slots.cell(64).is_none());
        assert!(slots.get(64).is_none());
    }

    #[test]
    fn a_reader_sees_cells_appear_while_the_writer_counts() {
        let slots = Slots::<Cell>::new(1000);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..1000).for_each(|id| slots.cell(id).unwrap().increment()));
            let mut last = 0;
            while last < 1000 {
                let seen = (0..1000).filter_map(|id| slots.get(id)).count();
                assert!(seen >= last);
                last = seen;
            }
        });
        assert!((0..1000).all(|id| slots.get(id).is_some_and(|cell| cell.get() == 1)));
    }
}
