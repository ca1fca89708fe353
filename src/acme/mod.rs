//! Certificates that get and renew themselves: ACME (RFC 8555) with renewal information (RFC 9773).
//!
//! Owns orders, their states and the store that instances share. Runs on a thread of its own, and meets the rest in
//! [`crate::tls`], which has the certificates and the answers to challenges. Never handles a request, never ends the
//! process, and never takes a certificate away that was once valid.

pub mod attempt;
pub mod backoff;
pub mod board;
pub mod bundle;
pub mod by_hand;
pub mod classify;
pub mod client;
pub mod clock;
pub mod context;
pub mod due;
pub mod failure;
pub mod on_demand;
pub mod service;
pub mod standing;
pub mod state;
pub mod store;
pub mod wanted;

mod account;
mod ari;
mod challenge;
mod dns;
mod key;
mod leftovers;
mod moment;
mod order;

pub use board::Board;
pub use moment::Moment;
