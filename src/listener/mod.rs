//! Accept, PROXY header, TLS, and which HTTP.
//!
//! Owns sockets and the caps on connections. Hands each connection to `proxy`; never looks into a request.

pub mod accept;
pub mod announced;
pub mod caps;
pub mod connection;
pub mod socket;
pub mod unix;
