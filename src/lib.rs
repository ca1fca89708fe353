//! Tidegate: an edge server. The modules in reading order; ARCHITECTURE.md tells the life of a request.

pub mod bench;
pub mod cli;
pub mod config;

pub mod server;
pub mod snapshot;
pub mod worker;

pub mod filter;
pub mod http;
pub mod listener;
pub mod proxy;
pub mod route;
pub mod tcp;
pub mod tls;
pub mod upstream;

pub mod acme;
pub mod control;

pub mod access_log;
pub mod bind_error;
pub mod metrics;
pub mod privileges;
pub mod proxy_protocol;
pub mod reason;
