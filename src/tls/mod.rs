//! TLS: certificates, which of them a client gets, tickets, and the settings of listeners and upstreams.
//!
//! Owns the [`Store`] of keys and everything a handshake decides. Never reads or writes a connection: `listener` does,
//! with the configuration made here. Never fetches a certificate: `control` does, and hands it to the store.

mod client;
mod handshake;
mod inspect;
mod load;
mod pem;
mod self_signed;
mod server_config;
mod site;
mod store;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientError, SystemRoots, client};
pub use handshake::Handshake;
pub use inspect::CertificateWarning;
pub use load::{CertificateError, LoadedCertificate, load};
pub use self_signed::{SelfSigned, self_signed};
pub use server_config::{Tickets, server_config};
pub use site::SiteCertificates;
pub use store::Store;
