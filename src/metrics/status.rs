//! Response statuses as array slots: a fixed slot for each known status, one a class for the rest.

/// Statuses that have a slot of their own: the registered ones, and those that nginx and others write in logs.
const KNOWN: [u16; 58] = [
    100, 101, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403,
    404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429,
    431, 451, 499, 500, 501, 502, 503, 504, 505, 507, 508, 511,
];

/// Labels of the slots after the known ones.
const REST: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

pub(super) const SLOTS: usize = KNOWN.len() + REST.len();

/// The slot in which `status` is counted.
pub(super) fn slot(status: u16) -> usize {
    SLOT_OF.get(usize::from(status)).map_or(SLOTS - 1, |&slot| usize::from(slot))
}

/// The label of a slot: the number, or the class as "4xx".
pub(super) fn label(slot: usize) -> String {
    match KNOWN.get(slot) {
        Some(status) => status.to_string(),
        None => REST[(slot - KNOWN.len()).min(REST.len() - 1)].into(),
    }
}

const SLOT_OF: [u8; 600] = {
    let mut slots = [(SLOTS - 1) as u8; 600];
    let mut status = 100;
    while status < slots.len() {
        slots[status] = (KNOWN.len() + status / 100 - 1) as u8;
        status += 1;
    }
    let mut i = 0;
    while i < KNOWN.len() {
        slots[KNOWN[i] as usize] = i as u8;
        i += 1;
    }
    slots
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_statuses_keep_their_number_and_others_their_class() {
        let labels = [200, 404, 499, 511, 199, 299, 399, 499 - 1, 599, 0, 99, 600, 65535].map(|s| label(slot(s)));
        assert_eq!(
            labels,
            ["200", "404", "499", "511", "1xx", "2xx", "3xx", "4xx", "5xx", "other", "other", "other", "other"]
        );
    }
}
