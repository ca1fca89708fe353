//! Host names to sites.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::SiteIndex;
use crate::config::{HostPattern, Site};

/// Longest host name that is looked at: RFC 1035 2.3.4.
const MAX_HOST: usize = 255;

/// Every site's host patterns, or the names of other things. A lookup costs at most one hash an admissible wildcard length, and no allocation.
#[derive(Debug)]
pub(super) struct HostMap {
    exact: HashMap<Box<[u8]>, SiteIndex, RandomState>,
    /// By the suffix from its dot on: `.example.com`.
    leading: HashMap<Box<[u8]>, SiteIndex, RandomState>,
    leading_lengths: Lengths,
    /// By the prefix up to its dot: `www.example.`.
    trailing: HashMap<Box<[u8]>, SiteIndex, RandomState>,
    trailing_lengths: Lengths,
    default: Option<SiteIndex>,
}

impl HostMap {
    pub(super) fn new(sites: &[Site]) -> Self {
        let default = sites.iter().zip((0..).map(SiteIndex)).find(|(site, _)| site.default).map(|(_, index)| index);
        Self::of(sites.iter().map(|site| &*site.hosts), default)
    }

    /// By the place of each list of hosts among the others.
    pub(super) fn of<'a>(lists: impl Iterator<Item = &'a [HostPattern]>, default: Option<SiteIndex>) -> Self {
        let mut map = Self {
            exact: HashMap::default(),
            leading: HashMap::default(),
            leading_lengths: Lengths::default(),
            trailing: HashMap::default(),
            trailing_lengths: Lengths::default(),
            default,
        };
        for (hosts, index) in lists.zip((0..).map(SiteIndex)) {
            for host in hosts {
                let (table, text) = match host {
                    HostPattern::Exact(name) => (&mut map.exact, name),
                    HostPattern::LeadingWildcard(suffix) => {
                        map.leading_lengths.insert(suffix.len());
                        (&mut map.leading, suffix)
                    }
                    HostPattern::TrailingWildcard(prefix) => {
                        map.trailing_lengths.insert(prefix.len());
                        (&mut map.trailing, prefix)
                    }
                };
                table.entry(text.as_bytes().to_ascii_lowercase().into()).or_insert(index);
            }
        }
        map
    }

    /// nginx's `ngx_hash_find_combined`: exact, longest leading wildcard, longest trailing wildcard, default.
    pub(super) fn find(&self, host: &[u8]) -> Option<SiteIndex> {
        let mut buffer = [0; MAX_HOST];
        let host = host.strip_suffix(b".").unwrap_or(host);
        let Some(lower) = buffer.get_mut(..host.len()) else { return self.default };
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let lower = &*lower;
        self.exact
            .get(lower)
            .or_else(|| self.find_leading(lower))
            .or_else(|| self.find_trailing(lower))
            .copied()
            .or(self.default)
    }

    fn find_leading(&self, host: &[u8]) -> Option<&SiteIndex> {
        if self.leading.is_empty() {
            return None;
        }
        // A dot at 0 leaves no label for the `*`.
        (1..host.len())
            .filter(|&at| host[at] == b'.' && self.leading_lengths.contains(host.len() - at))
            .find_map(|at| self.leading.get(&host[at..]))
    }

    fn find_trailing(&self, host: &[u8]) -> Option<&SiteIndex> {
        if self.trailing.is_empty() {
            return None;
        }
        (1..host.len())
            .rev()
            .filter(|&end| host[end - 1] == b'.' && self.trailing_lengths.contains(end))
            .find_map(|end| self.trailing.get(&host[..end]))
    }
}

/// Which lengths occur, so that a hostile host of many dots costs no more hashes than there are lengths.
#[derive(Debug, Default)]
struct Lengths([u64; 4]);

impl Lengths {
    fn insert(&mut self, length: usize) {
        if let Some(word) = self.0.get_mut(length / 64) {
            *word |= 1 << (length % 64);
        }
    }

    fn contains(&self, length: usize) -> bool {
        self.0.get(length / 64).is_some_and(|word| word >> (length % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::site;

    fn map() -> HostMap {
        let exact = |s: &str| HostPattern::Exact(s.to_owned());
        let leading = |s: &str| HostPattern::LeadingWildcard(s.to_owned());
        let trailing = |s: &str| HostPattern::TrailingWildcard(s.to_owned());
        let mut sites = vec![
            site(vec![exact("example.com"), exact("[::1]")]),
            site(vec![leading(".example.com")]),
            site(vec![leading(".api.example.com"), trailing("example.")]),
            site(vec![trailing("www.example.")]),
            site(vec![]),
        ];
        sites[4].default = true;
        HostMap::new(&sites)
    }

    #[test]
    fn exact_beats_leading_beats_trailing_beats_default() {
        let map = map();
        for (host, site) in [
            ("example.com", 0),
            ("EXAMPLE.com", 0),
            ("example.com.", 0),
            ("[::1]", 0),
            ("a.example.com", 1),
            ("a.b.example.com", 1),
            ("api.example.com", 1),
            ("a.API.example.com", 2),
            ("www.example.com", 1),
            ("www.example.org", 3),
            ("www.example.co.uk", 3),
            ("example.org", 2),
            ("www.example", 4),
            (".example.com", 4),
            ("notexample.com", 4),
            ("", 4),
        ] {
            assert_eq!(map.find(host.as_bytes()), Some(SiteIndex(site)), "{host}");
        }
    }

    #[test]
    fn a_host_longer_than_any_name_gets_the_default_site() {
        assert_eq!(map().find(&[b'.'; 300]), Some(SiteIndex(4)));
        assert_eq!(map().find(&[b'.'; 255]), Some(SiteIndex(4)));
    }

    #[test]
    fn without_a_default_an_unknown_host_has_no_site() {
        let map = HostMap::new(&[site(vec![HostPattern::Exact("a".into())])]);
        assert_eq!(map.find(b"b"), None);
        assert_eq!(map.find(b"A"), Some(SiteIndex(0)));
    }
}
