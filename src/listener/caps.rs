//! How many connections may be open: over all workers, and for one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::http::address::Client;

/// The caps, and what is open. Shared by all workers; kept over reloads.
pub struct Caps {
    max: AtomicUsize,
    open: AtomicUsize,
    /// 0 is no cap.
    max_per_client: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    All,
    Client,
}

/// An open connection; dropping it gives its place back.
pub struct Permit {
    caps: Arc<Caps>,
    client: Option<IpAddr>,
}

impl Caps {
    pub fn new(config: &Config) -> Arc<Self> {
        let caps = Self { max: 0.into(), open: 0.into(), max_per_client: 0.into(), clients: Mutex::default() };
        caps.set(config);
        Arc::new(caps)
    }

    /// Takes new caps over. Connections open beyond them stay.
    pub fn set(&self, config: &Config) {
        self.max.store(config.max_connections, Relaxed);
        self.max_per_client.store(config.max_connections_per_client.map_or(0, |max| max.get() as usize), Relaxed);
    }

    /// Lets one more connection in, or says which cap it hit.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter(self: &Arc<Self>, peer: Client) -> Result<Permit, Full> {
        let mut permit = self.enter_unknown()?;
        permit.identify(peer)?;
        Ok(permit)
    }

    /// Lets one in whose client is not known yet.
    ///
    /// # Errors
    /// [`Full::All`].
    pub fn enter_unknown(self: &Arc<Self>) -> Result<Permit, Full> {
        if self.open.fetch_add(1, Relaxed) >= self.max.load(Relaxed) {
            self.open.fetch_sub(1, Relaxed);
            return Err(Full::All);
        }
        Ok(Permit { caps: Arc::clone(self), client: None })
    }

    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

impl Permit {
    /// Counts the connection among its client's. One without an address is not counted: it may stand for any number.
    ///
    /// # Errors
    /// [`Full::Client`].
    pub fn identify(&mut self, client: Client) -> Result<(), Full> {
        let max = self.caps.max_per_client.load(Relaxed);
        if let (Client::Ip(ip), 1..) = (client, max) {
            let client = network_of(ip);
            let mut clients = self.caps.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let open = clients.entry(client).or_default();
            if *open >= max {
                return Err(Full::Client);
            }
            *open += 1;
            self.client = Some(client);
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self.caps.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = clients.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&client);
            }
        }
    }
}

/// An IPv6 client owns its /64.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(max: usize, per_client: u32) -> Arc<Caps> {
        let mut config = Config::empty();
        config.max_connections = max;
        config.max_connections_per_client = per_client.try_into().ok();
        Caps::new(&config)
    }

    fn ip(text: &str) -> Client {
        Client::Ip(text.parse().unwrap())
    }

    #[test]
    fn a_place_is_given_back_when_its_permit_is_dropped() {
        let caps = caps(1, 0);
        let peer = ip("10.0.0.1");
        let permit = caps.enter(peer).ok();
        assert_eq!(caps.enter(peer).err(), Some(Full::All));
        drop(permit);
        assert!(caps.enter(peer).is_ok());
        assert_eq!(caps.open(), 0);
    }

    #[test]
    fn one_client_is_capped_by_its_network() {
        let caps = caps(10, 1);
        let _held = caps.enter(ip("2001:db8::1")).ok();
        assert_eq!(caps.enter(ip("2001:db8::2")).err(), Some(Full::Client));
        assert!(caps.enter(ip("2001:db8:0:1::1")).is_ok());
        assert_eq!(caps.open(), 1);
    }

    #[test]
    fn those_without_an_address_are_capped_together_with_all_alone() {
        let caps = caps(2, 1);
        let _held = [caps.enter(Client::Unix).ok(), caps.enter(Client::Unix).ok()];
        assert_eq!(caps.enter(Client::Unix).err(), Some(Full::All));
    }

    #[test]
    fn a_client_that_is_known_later_is_capped_then() {
        let caps = caps(10, 1);
        let _held = caps.enter(ip("10.0.0.1")).ok();
        let mut late = caps.enter_unknown().ok().unwrap();
        assert_eq!(late.identify(ip("10.0.0.1")), Err(Full::Client));
        drop(late);
        assert_eq!((caps.open(), caps.enter(ip("10.0.0.2")).is_ok()), (1, true));
    }
}
