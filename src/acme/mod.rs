//! Certificates that get and renew themselves: ACME (RFC 8555) with renewal information (RFC 9773).
//!
//! Owns orders, their states and the store that instances share. Runs on a thread of its own, and meets the rest in
//! [`crate::tls`], which has the certificates and the answers to challenges. Never handles a request, never ends the
//! process, and never takes a certificate away that was once valid.

pub mod backoff;
pub mod due;
pub mod failure;
mod moment;
pub mod state;
pub mod store;

pub use moment::Moment;
