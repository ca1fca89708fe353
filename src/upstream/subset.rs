//! `subset`: for many endpoints behind many instances, so that not each connects to each (a deterministic aperture).
//!
//! The endpoints stand on a ring in the order of a hash of their address, and an instance takes those next to its own
//! place. One endpoint more or less moves at most two others into or out of a subset. The places of instances 0, 1, 2, …
//! halve what is still free (van der Corput's sequence), so that any number of them covers the ring evenly; an instance
//! without a number stands where its name's hash puts it, which is as even as chance.

use std::sync::LazyLock;

use crate::config::{self, Address, Endpoint};

/// Keeps the primaries of this instance's subset, and all backups. What is down is no part of a subset.
pub(super) fn keep(config: &config::Subset, entries: &mut Vec<(&Endpoint, Address)>) {
    let is_primary = |entry: &Endpoint| !entry.backup && !entry.down;
    let mut ring: Vec<(u64, Address)> = entries
        .iter()
        .filter(|(entry, _)| is_primary(entry))
        .map(|(_, address)| (hash(address.to_string().as_bytes()), address.clone()))
        .collect();
    ring.sort_unstable();
    ring.dedup();
    if ring.len() <= config.size {
        return;
    }
    let place = place(config.instance.as_deref().unwrap_or(&HOST));
    let start = ((u64::from(place) * ring.len() as u64) >> 32) as usize;
    let mut subset: Vec<_> =
        ring.iter().cycle().skip(start).take(config.size).map(|(_, address)| address.clone()).collect();
    subset.sort_unstable();
    entries.retain(|(entry, address)| !is_primary(entry) || subset.binary_search(address).is_ok());
}

/// Where an instance stands, in 2^-32 of the ring. `ip-10-0-0-3` is no third of anything: several numbers are a name.
fn place(instance: &str) -> u32 {
    let digits = instance.find(|c: char| c.is_ascii_digit()).unwrap_or(instance.len());
    match instance.get(digits..).and_then(|number| number.parse::<u32>().ok()) {
        Some(number) => number.reverse_bits(),
        None => (hash(instance.as_bytes()) >> 32) as u32,
    }
}

/// FNV-1a, mixed: the same in every process and every version.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The host's name, as it was when it was first asked for.
static HOST: LazyLock<String> = LazyLock::new(|| rustix::system::uname().nodename().to_string_lossy().into_owned());

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn subset(endpoints: &[Endpoint], size: usize, instance: &str) -> HashSet<Address> {
        let mut entries: Vec<_> = endpoints.iter().map(|e| (e, e.address.parse().unwrap())).collect();
        keep(&config::Subset { size, instance: Some(instance.to_owned()) }, &mut entries);
        entries.into_iter().map(|(_, address)| address).collect()
    }

    fn endpoints(count: usize) -> Vec<Endpoint> {
        (0..count).map(|at| Endpoint::at(format!("10.0.{}.{}:80", at / 200, at % 200))).collect()
    }

    #[test]
    fn a_subset_is_the_same_each_time_and_as_large_as_asked() {
        let all = endpoints(100);
        assert_eq!(subset(&all, 10, "a-7").len(), 10);
        assert_eq!(subset(&all, 10, "a-7"), subset(&all, 10, "b7"));
        assert_ne!(subset(&all, 10, "a-7"), subset(&all, 10, "a-8"));
        assert_ne!(subset(&all, 10, "ip-10-0-1-7"), subset(&all, 10, "ip-10-0-2-7"));
        assert_eq!(subset(&all[..10], 10, "a-7").len(), 10);
        assert_eq!(subset(&all, 200, "a-7").len(), 100);
    }

    #[test]
    fn numbered_instances_use_each_endpoint_about_equally_often() {
        let all = endpoints(100);
        for instances in [10, 16, 40, 64, 100] {
            let mut used: HashMap<Address, i32> = HashMap::new();
            for instance in 0..instances {
                for address in subset(&all, 10, &format!("tidegate-{instance}")) {
                    *used.entry(address).or_default() += 1;
                }
            }
            let mean = instances / 10;
            let (least, most) = (used.values().min().unwrap(), used.values().max().unwrap());
            let least = if used.len() == 100 { *least } else { 0 };
            assert!(mean - least <= 2 && most - mean <= 3, "{instances} instances: {least} to {most}");
        }
    }

    #[test]
    fn one_endpoint_more_or_less_moves_few() {
        let all = endpoints(101);
        for instance in 0..50 {
            let name = format!("tidegate-{instance}");
            let (before, after) = (subset(&all[..100], 10, &name), subset(&all, 10, &name));
            assert!(before.difference(&after).count() <= 2, "{instance}");
        }
    }

    #[test]
    fn backups_stay_and_what_is_down_takes_no_place() {
        let mut all = endpoints(20);
        all[0].backup = true;
        all[1].down = true;
        let kept = subset(&all, 5, "0");
        let primaries = all[2..].iter().filter(|e| kept.contains(&e.address.parse().unwrap())).count();
        assert_eq!(primaries, 5);
        assert!(kept.contains(&all[0].address.parse().unwrap()));
    }
}
