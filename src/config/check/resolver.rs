//! `[resolver]` → [`Resolver`].

use super::Checker;
use crate::config::file::ResolverFile;
use crate::config::model::Resolver;

impl Checker<'_> {
    pub(super) fn resolver(&mut self, file: &ResolverFile) -> Resolver {
        let (min, max) = (&file.min_refresh, &file.max_refresh);
        if min.0 > max.0 {
            self.error("`min_refresh` is longer than `max_refresh`", min.place, "longer").also(max.place, "than this");
        }
        if !file.ipv4.0 && !file.ipv6.0 {
            self.error("no record is left to ask for", file.ipv6.place, "here").also(file.ipv4.place, "and here");
        }
        let mut servers = Vec::with_capacity(file.servers.items.len());
        for server in &file.servers.items {
            if servers.contains(&server.0) {
                self.warn("this server stands here twice", server.place, "again");
                continue;
            }
            servers.push(server.0);
        }
        if let Some(extra) = file.servers.items.get(MAX_SERVERS) {
            self.error("too many servers", extra.place, format!("at most {MAX_SERVERS}"))
                .help("a lookup asks one after the other, so that the last would hardly be asked in time");
        }
        Resolver {
            servers,
            timeout: file.timeout.0,
            hosts_file: file.hosts_file.0.as_ref().map(|hosts| self.resolve(&hosts.0, file.hosts_file.place)),
            min_refresh: min.0.min(max.0),
            max_refresh: max.0,
            ipv4: file.ipv4.0,
            ipv6: file.ipv6.0,
        }
    }
}

const MAX_SERVERS: usize = 8;
