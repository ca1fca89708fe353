//! Which endpoints a request has tried.

/// A set of endpoint ids. Up to eight need no allocation; few requests get past two.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    few: [u32; FEW],
    len: u32,
    more: Vec<u32>,
}

impl Tried {
    pub const fn new() -> Self {
        Self { few: [0; FEW], len: 0, more: Vec::new() }
    }

    /// Adds the id of an endpoint that an attempt was made at.
    pub fn insert(&mut self, id: u32) {
        if self.contains(id) {
            return;
        }
        match self.few.get_mut(self.len as usize) {
            Some(free) => {
                *free = id;
                self.len += 1;
            }
            None => self.more.push(id),
        }
    }

    #[inline]
    pub fn contains(&self, id: u32) -> bool {
        let few = self.few.get(..self.len as usize).unwrap_or_default();
        few.contains(&id) || (!self.more.is_empty() && self.more.contains(&id))
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn len(&self) -> usize {
        self.len as usize + self.more.len()
    }
}

const FEW: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_each_id_once_however_many_there_are() {
        let mut tried = Tried::new();
        assert!(tried.is_empty() && !tried.contains(0));
        for id in (0..20).chain(0..20) {
            tried.insert(id);
        }
        assert_eq!(tried.len(), 20);
        assert!((0..20).all(|id| tried.contains(id)) && !tried.contains(20));
    }

    #[test]
    fn eight_ids_need_no_allocation() {
        let mut tried = Tried::new();
        (0..8).for_each(|id| tried.insert(id));
        assert_eq!(tried.more.capacity(), 0);
    }
}
