//! Why an address could not be bound, in one line that names the remedy.
//!
//! A leaf. Reads `/proc`, only after a bind has failed, and does without where `/proc` can't be read.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::config::Address;

/// One line for the operator: the address, what is wrong, what holds it if that can be seen, and what to do.
pub fn explain_bind_error(address: &Address, error: &io::Error) -> String {
    match address {
        Address::Ip(address) => explain_ip(*address, error),
        Address::Unix(path) => explain_unix(address, path, error),
    }
}

fn explain_unix(address: &Address, path: &Path, error: &io::Error) -> String {
    let directory = path.parent().unwrap_or(path).display();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{address} is in use by another process: stop it, or choose another path")
        }
        io::ErrorKind::AlreadyExists => {
            format!("{} is there, and is no socket: remove it, or choose another path", path.display())
        }
        io::ErrorKind::NotFound => format!("can't listen on {address}: there is no directory {directory}"),
        io::ErrorKind::PermissionDenied => {
            format!("no permission to listen on {address}: this user may not make a socket in {directory}")
        }
        _ => format!("can't listen on {address}: {error}"),
    }
}

fn explain_ip(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => match find_holder(address) {
            Some(holder) => format!("{address} is in use by {holder}: stop it, or choose another address"),
            None => format!("{address} is in use by another process: stop it, or choose another address"),
        },
        io::ErrorKind::PermissionDenied => {
            let border = first_unprivileged_port();
            format!(
                "no permission to listen on {address}: ports below {border} need root or CAP_NET_BIND_SERVICE \
                 (`setcap cap_net_bind_service=+ep` on the binary, AmbientCapabilities= in a systemd unit), \
                 or choose a port from {border} up"
            )
        }
        io::ErrorKind::AddrNotAvailable => format!("{address} is not an address of this machine"),
        _ => format!("can't listen on {address}: {error}"),
    }
}

/// The process that listens on `address`, as `nginx (pid 17)`. `None` when `/proc` doesn't tell, as for another user's.
fn find_holder(address: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_sockets(&table, address))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| holds_any(*pid, &sockets)).map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{} (pid {pid})", name.trim())
    })
}

fn holds_any(pid: u32, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}

/// The listening sockets in a `/proc/net/tcp` table that keep `address` from being bound, as `/proc/*/fd` names them.
fn listening_sockets(table: &str, address: SocketAddr) -> Vec<String> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let bound = parse_socket(local)?;
            let overlaps = bound.ip() == address.ip() || bound.ip().is_unspecified() || address.ip().is_unspecified();
            (*state == LISTEN && bound.port() == address.port() && overlaps).then(|| format!("socket:[{inode}]"))
        })
        .collect()
}

/// `0100007F:1F90` is 127.0.0.1:8080: each 32-bit word of the address is in host order, the port is not.
fn parse_socket(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = (0..ip.len() / 8)
        .map(|i| ip.get(i * 8..i * 8 + 8).and_then(|word| u32::from_str_radix(word, 16).ok()).map(u32::to_ne_bytes))
        .collect();
    let ip = match *words? {
        [v4] => IpAddr::V4(Ipv4Addr::from(v4)),
        [a, b, c, d] => {
            let mut octets = [0; 16];
            for (place, word) in octets.chunks_exact_mut(4).zip([a, b, c, d]) {
                place.copy_from_slice(&word);
            }
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn first_unprivileged_port() -> u16 {
    let setting = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    setting.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

/// `TCP_LISTEN` of the kernel's `enum tcp_state`, as the table prints it.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn names_the_process_that_holds_the_port() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let error = TcpListener::bind(address).unwrap_err();
        let line = explain_bind_error(&address.into(), &error);
        assert!(line.starts_with(&format!("{address} is in use by ")), "{line}");
        assert!(line.contains(&format!("(pid {})", std::process::id())), "{line}");
        assert!(!line.contains('\n'));
    }

    #[test]
    fn a_wildcard_listener_holds_every_address_of_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n   \
                     1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1\n   \
                     2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4713 1\n";
        assert_eq!(listening_sockets(table, "127.0.0.1:8080".parse().unwrap()), ["socket:[4711]"]);
        assert_eq!(listening_sockets(table, "0.0.0.0:8081".parse().unwrap()), ["socket:[4712]"]);
        assert!(listening_sockets(table, "127.0.0.2:8081".parse().unwrap()).is_empty());
    }

    #[test]
    fn reads_both_address_families_of_the_kernel_table() {
        assert_eq!(parse_socket("0100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(parse_socket("00000000000000000000000001000000:0050"), Some("[::1]:80".parse().unwrap()));
        assert_eq!(parse_socket("0000000000000000FFFF00000100007F:0050"), Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(parse_socket("xyz:0050"), None);
        assert_eq!(parse_socket(""), None);
    }

    #[test]
    fn says_what_a_privileged_port_needs() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let line = explain_bind_error(&"0.0.0.0:80".parse().unwrap(), &error);
        assert!(line.contains("CAP_NET_BIND_SERVICE") && line.contains("0.0.0.0:80"), "{line}");
    }
}
