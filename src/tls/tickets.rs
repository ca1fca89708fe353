//! Session tickets (RFC 5077, RFC 8446 4.6.1): whose keys, how long, and who may come back with one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

/// The process's tickets.
///
/// One for all workers and listeners: a client may come back to any. Without key files the keys are made at random and
/// replaced every 6 hours; a ticket is good for 6 to 12. With files every instance that has them takes the others'
/// tickets, for as long as the file stays and for at most 12 hours.
///
/// A ticket lets in whom it was given to, certificate and all. So listeners that believe different authorities take no
/// tickets of each other; and rustls resumes only under the server name that a ticket was given for.
pub struct Tickets(ArcSwap<TicketKeys>);

/// Keys that tickets are made with.
pub struct TicketKeys(Arc<dyn ProducesTickets>);

impl Tickets {
    /// Keys of the files, or random ones if there are no files.
    ///
    /// # Errors
    /// A file that holds no key, with its path; or there is no randomness.
    pub fn new(files: &[PathBuf]) -> Result<Arc<Tickets>, String> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(TicketKeys::read(files)?))))
    }

    /// From now on with these keys.
    pub fn replace(&self, keys: TicketKeys) {
        self.0.store(Arc::new(keys));
    }

    /// What a listener issues and takes. `audience` tells listeners apart whose tickets mustn't be taken by each other.
    pub(super) fn of(self: &Arc<Self>, audience: &[u8]) -> Arc<Issuer> {
        let mut digest = [0; digest::SHA256_OUTPUT_LEN];
        digest.copy_from_slice(digest::digest(&digest::SHA256, audience).as_ref());
        Arc::new(Issuer { tickets: Arc::clone(self), audience: digest })
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl TicketKeys {
    /// Reads the files anew. `None`: there are none, and were none before, so that the random keys stay.
    ///
    /// # Errors
    /// As [`Tickets::new`].
    pub fn reread(files: &[PathBuf], before: &[PathBuf]) -> Result<Option<Self>, String> {
        if files.is_empty() && before.is_empty() { Ok(None) } else { Self::read(files).map(Some) }
    }

    fn read(files: &[PathBuf]) -> Result<Self, String> {
        if files.is_empty() {
            return Ok(Self(Ticketer::new().map_err(|error| error.to_string())?));
        }
        let key = |path: &PathBuf| ticket_key(path).map_err(|why| format!("{}: {why}", path.display()));
        Ok(Self(Arc::new(SharedKeys(files.iter().map(key).collect::<Result<_, _>>()?))))
    }
}

/// One listener's end of the tickets.
pub(super) struct Issuer {
    tickets: Arc<Tickets>,
    audience: [u8; digest::SHA256_OUTPUT_LEN],
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issuer")
    }
}

impl Issuer {
    /// A ticket issued at `now`, in seconds since 1970.
    pub(super) fn issue(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        self.tickets.0.load().0.encrypt(&[&self.audience, &now.to_be_bytes()[..], plain].concat())
    }

    /// What is in a ticket, if it is good here and at `now`.
    pub(super) fn take(&self, cipher: &[u8], now: u64) -> Option<Vec<u8>> {
        let sealed = self.tickets.0.load().0.decrypt(cipher)?;
        let (issued, plain) = sealed.strip_prefix(&self.audience)?.split_first_chunk()?;
        let age = now.checked_sub(u64::from_be_bytes(*issued))?;
        (age <= u64::from(LIFETIME)).then(|| plain.to_vec())
    }
}

impl ProducesTickets for Issuer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.issue(plain, now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.take(cipher, now())
    }
}

/// Keys that instances share.
#[derive(Debug)]
struct SharedKeys(Vec<TicketKey>);

/// A key from a file.
pub struct TicketKey {
    /// Tells which key a ticket is of.
    name: [u8; NAME],
    /// AES-256-GCM-SIV: instances that know nothing of each other draw nonces for one key.
    key: RandomizedNonceKey,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey")
    }
}

/// Reads a key: 48 or 80 bytes, as for nginx's `ssl_session_ticket_key`.
///
/// # Errors
/// Why the file is none, in a few words.
pub fn ticket_key(path: &Path) -> Result<TicketKey, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length != 48 && length != 80 {
        return Err(format!("it has {length} bytes, not 48 or 80"));
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(|error| error.to_string())?);
    // Name and key are made from all bytes, so that none of them shows.
    let derived = |label: &[u8]| digest::digest(&digest::SHA256, &Zeroizing::new([label, &bytes].concat()));
    let mut name = [0; NAME];
    name.copy_from_slice(&derived(b"tidegate ticket name").as_ref()[..NAME]);
    let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, derived(b"tidegate ticket key").as_ref());
    Ok(TicketKey { name, key: key.map_err(|_| "no key can be made of it".to_owned())? })
}

impl ProducesTickets for SharedKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    /// Name, nonce, and what is encrypted.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let key = self.0.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.key.seal_in_place_append_tag(Aad::from(key.name), &mut sealed).ok()?;
        Some([&key.name[..], nonce.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = cipher.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let key = self.0.iter().find(|key| key.name == name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = key.key.open_in_place(nonce, Aad::from(key.name), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

/// Seconds since 1970: instances have no other clock in common.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds for which a ticket is good, whatever becomes of its key.
const LIFETIME: u32 = 12 * 3600;

/// Bytes of a key's name.
const NAME: usize = 16;
