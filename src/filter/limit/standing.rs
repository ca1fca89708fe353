//! Where a client stands with a limit, and the fields that tell it.

/// Numbers for `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (draft-ietf-httpapi-ratelimit-headers, up to
/// its revision 06): the three fields that clients in the field read, where later revisions fold them into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests that pass at once for a key that was quiet: burst + 1.
    pub limit: u32,
    /// Requests that would pass at once now.
    pub remaining: u32,
    /// Seconds until all of `limit` would pass again, rounded up.
    pub reset: u64,
}

impl Standing {
    /// `ahead` and `cost` in nanoseconds: until the allowance is whole again, and of one request.
    pub(super) fn new(ahead: u64, cost: u64, burst: u32) -> Self {
        let limit = burst.saturating_add(1);
        let used = u32::try_from(ahead.div_ceil(cost)).unwrap_or(u32::MAX);
        Self { limit, remaining: limit.saturating_sub(used), reset: ahead.div_ceil(1_000_000_000) }
    }

    /// The one with less remaining.
    pub(super) fn tighter(self, other: Self) -> Self {
        if other.remaining < self.remaining { other } else { self }
    }

    /// Appends the three field lines, each with its line end.
    pub fn append_http1(&self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        for (name, number) in self.fields() {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(digits.format(number).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The three fields by name.
    pub fn fields(&self) -> [(&'static str, u64); 3] {
        [
            ("RateLimit-Limit", u64::from(self.limit)),
            ("RateLimit-Remaining", u64::from(self.remaining)),
            ("RateLimit-Reset", self.reset),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_request_counts_as_used_until_it_is_whole_again() {
        let standing = |ahead| Standing::new(ahead, 100, 4);
        assert_eq!((standing(0).remaining, standing(0).reset), (5, 0));
        assert_eq!(standing(1).remaining, 4);
        assert_eq!(standing(100).remaining, 4);
        assert_eq!(standing(101).remaining, 3);
        assert_eq!(standing(500).remaining, 0);
        assert_eq!(standing(u64::MAX).remaining, 0);
    }

    #[test]
    fn the_fields_are_three_whole_lines() {
        let mut out = Vec::new();
        Standing { limit: 21, remaining: 3, reset: 2 }.append_http1(&mut out);
        assert_eq!(out, b"RateLimit-Limit: 21\r\nRateLimit-Remaining: 3\r\nRateLimit-Reset: 2\r\n");
    }
}
