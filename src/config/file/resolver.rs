//! `[resolver]`, and what an `endpoints_file` holds.

use super::upstream::EndpointFile;
use crate::config::read::Many;
use crate::config::table::table;
use crate::config::value::{FilePath, Flag, OffOr, ServerAddress, Timeout};

table! {
    /// How names of endpoints with `resolve` or `service` are looked up. All other names are resolved by the system, once.
    ///
    /// ```toml
    /// [resolver]
    /// servers = ["10.0.0.2", "10.0.0.3:5353"]
    /// timeout = "2s"
    /// max_refresh = "1m"
    /// ```
    pub(crate) struct ResolverFile {
        /// DNS servers, asked in this order, over UDP, and over TCP if an answer is too long. Without it: those of
        /// `/etc/resolv.conf` with its search domains, read again when it changes.
        servers: Many<ServerAddress> = [],
        /// For one lookup, over all servers and repetitions.
        timeout: Timeout = "5s",
        /// Names that stand there are not asked for; `"off"` for none. It is read again when it changes.
        hosts_file: OffOr<FilePath> = "/etc/hosts",
        /// An answer counts at least so long, if its TTL is shorter.
        min_refresh: Timeout = "1s",
        /// An answer counts at most so long, if its TTL is longer. Both are stretched by up to a tenth, at random.
        max_refresh: Timeout = "5m",
        /// Whether A records are asked for.
        ipv4: Flag = true,
        /// Whether AAAA records are asked for.
        ipv6: Flag = true,
    }
}

table! {
    /// What stands in an `endpoints_file`.
    pub(crate) struct EndpointsFile {
        /// As in `[upstream.NAME]`.
        endpoints: Many<EndpointFile> = required,
    }
}
