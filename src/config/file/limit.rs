//! `[limit.NAME]`

use crate::config::model::{LimitKey, Rate};
use crate::config::table::table;
use crate::config::value::{Flag, Number};

table! {
    /// A rate limit that routes refer to by name. Counts are exact over all workers, and outlive a reload.
    ///
    /// ```toml
    /// [limit.api]
    /// key = "client_ip"
    /// rate = "10/s"
    /// burst = 20
    /// ```
    pub(crate) struct LimitFile {
        /// What is counted apart: `"client_ip"` (IPv6: the /64), `"site"`, or `"header:NAME"`, where a request without
        /// the field is not limited.
        key: LimitKey = "client_ip",
        /// How many requests pass in the long run.
        rate: Rate = required,
        /// How many more pass at once after a pause: with 20, the first 21.
        burst: Number<0, 1_000_000> = 0,
        /// Requests beyond the rate pass at once up to this many; further ones, up to `burst`, wait for their turn. Without
        /// it none waits: nginx's `nodelay`.
        delay: Number<0, 1_000_000>,
        /// Keys held at a time, of 16 bytes each; then the oldest is forgotten.
        max_keys: Number<8, 268_435_456> = 1048576,
        /// The status of a refusal.
        status: Number<400, 599> = 429,
        /// Count and log, but let everything pass.
        dry_run: Flag = false,
    }
}
