//! The client's side of a connection: which requests come over it, one after the other or side by side.

mod drain;
pub mod http1;
mod http1_exchange;
pub mod http2;
mod http2_exchange;
mod pace;
