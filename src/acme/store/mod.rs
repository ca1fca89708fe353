//! Where accounts, orders, certificates and their states are kept, so that instances and restarts share them.
//!
//! Files are one such place. What is asked of another is small: whole values with a version, and leases that end with
//! whoever holds them.

mod files;
mod key;

use std::any::Any;
use std::fmt;

use async_trait::async_trait;

pub use files::Files;
pub use key::Key;

/// A place for values. All that is put is either there whole or not at all.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// # Errors
    /// [`StoreError`]; that nothing is there is none.
    async fn get(&self, key: &Key) -> Result<Option<Value>, StoreError>;

    /// Puts a value in the place of what the caller has seen there: `None` is nothing. Returns its version.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if something else is there by now; then nothing has been put.
    async fn put(&self, key: &Key, bytes: &[u8], seen: Option<&Version>) -> Result<Version, StoreError>;

    /// Takes a value away, if it is there.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;

    /// The last parts of all keys below one, in no order.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn list(&self, directory: &str) -> Result<Vec<String>, StoreError>;

    /// Takes the lease of this name, unless somebody holds it. It ends when it is dropped, and with the process at the
    /// latest: never by a clock.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn lease(&self, name: &str) -> Result<Option<Lease>, StoreError>;

    /// Gives a lease back whose name isn't needed any more.
    ///
    /// # Errors
    /// [`StoreError`]; the lease is given back nevertheless.
    async fn retire(&self, name: &str, lease: Lease) -> Result<(), StoreError>;
}

/// What was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    pub bytes: Vec<u8>,
    pub version: Version,
}

/// There may be a key in it.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Tells a value from what was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

/// The right to work on something. Given back by being dropped.
pub struct Lease(#[expect(dead_code, reason = "held, never looked at")] Box<dyn Any + Send + Sync>);

/// Why a store can't do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{what}: {error}")]
    Io { what: String, error: std::io::Error },
    #[error("{what}: larger than 1 MiB")]
    TooLarge { what: String },
    #[error("{what} was changed by another instance")]
    Changed { what: String },
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}

/// Reads a JSON value; what can't be read counts as missing, and is told.
///
/// # Errors
/// [`StoreError`]
pub async fn get_json<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    key: &Key,
) -> Result<Option<(T, Version)>, StoreError> {
    let Some(value) = store.get(key).await? else { return Ok(None) };
    match serde_json::from_slice(&value.bytes) {
        Ok(parsed) => Ok(Some((parsed, value.version))),
        Err(error) => {
            tracing::warn!(%key, %error, "damaged in the certificate store; taken for missing");
            Ok(None)
        }
    }
}

/// Writes a JSON value in the place of whatever is there. For what its lease protects.
///
/// # Errors
/// [`StoreError`]
pub async fn put_json(store: &dyn Store, key: &Key, value: &impl serde::Serialize) -> Result<(), StoreError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| StoreError::Io { what: key.to_string(), error: error.into() })?;
    bytes.push(b'\n');
    replace(store, key, &bytes).await
}

/// Puts a value in the place of whatever is there. For what its lease protects.
///
/// # Errors
/// [`StoreError`]
pub async fn replace(store: &dyn Store, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
    let seen = store.get(key).await?.map(|value| value.version);
    store.put(key, bytes, seen.as_ref()).await.map(drop)
}
