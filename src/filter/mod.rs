//! A file a feature: what may be done to a request or response on its way through.
//!
//! Filters are compiled from the configuration and called by `proxy::stages`, in its order. They read heads and write
//! bytes. Never do they open a connection, wait, or look at a clock: time is handed in.

pub mod client;
pub mod forwarded;
pub mod headers;
pub mod hop_by_hop;
pub mod limit;
pub mod request_id;
