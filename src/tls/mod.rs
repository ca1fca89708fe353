//! TLS: certificates, which of them a client gets, tickets, and the settings of listeners and upstreams.
//!
//! Owns the [`Store`] of keys and everything a handshake decides. Never reads or writes a connection: `listener` does,
//! with the configuration made here. Never fetches a certificate: `acme` does, and puts it into a [`Slot`].

mod challenge;
mod client;
mod client_auth;
pub mod client_hello;
mod demand;
mod handshake;
mod inspect;
mod load;
mod local_ca;
mod pem;
mod self_signed;
mod server_config;
mod site;
mod slot;
mod store;
mod subject;
#[cfg(test)]
mod tests;
mod tickets;

pub use challenge::{ACME_TLS, Challenges, Question, Sought, reverse_name};
pub use client::{Client, ClientError, SystemRoots, client};
pub use client_auth::client_trust;
pub use demand::{Demand, Missing, Wish};
pub use handshake::{Handshake, failure};
pub use inspect::CertificateWarning;
pub use load::{CertificateError, LoadedCertificate, load, load_bundle};
pub use local_ca::LocalCa;
pub use self_signed::{SelfSigned, self_signed};
pub use server_config::{Server, TlsError, server_config, tcp_server_config};
pub use site::SiteCertificates;
pub use slot::Slot;
pub use store::Store;
pub use tickets::{TicketKey, TicketKeys, Tickets, ticket_key};
