//! Named rate limits.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// A named rate limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    pub name: Arc<str>,
    pub key: LimitKey,
    pub rate: Rate,
    /// Requests beyond the rate that pass at once (nginx's burst): `burst + 1` in one instant. Default 0.
    pub burst: u32,
    /// Excess past this many requests waits for its slot instead of passing at once; `None` is nginx's `nodelay`.
    pub delay: Option<u32>,
    /// Keys held; the oldest are evicted. 16 bytes each. Default 1,048,576.
    pub max_keys: usize,
    /// Default 429.
    pub status: u16,
    /// Counted and logged, but let through.
    pub dry_run: bool,
}

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// The client's address; IPv6 by /64.
    ClientIp,
    /// A request header's value, lower-case name; a request without it is not limited.
    Header(String),
    Site,
}

/// Requests in a time: "10/s", "300/m", "1000/h".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub requests: NonZeroU32,
    pub per: Duration,
}
