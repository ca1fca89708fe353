//! The load generator behind `tidegate bench`: any server that speaks HTTP/1.1 or HTTP/2, over TLS or not.
//!
//! Owns its sockets, its threads and what they counted. Knows nothing of Tidegate's own server, which to it is one
//! server among others, and prints nothing: the command line does.
//!
//! A worker is one thread with one epoll instance and no tasks: a connection is a few state machines that bytes are
//! pushed through, and a request is a few dozen stores. Requests are encoded once. A thread of its own, the pacer, keeps
//! the [`schedule`], which says when a request is meant to leave; what came of it is kept in a [`tally`] a worker, and
//! merged when all is over.

pub mod diff;
pub mod outcome;
pub mod plan;
pub mod progress;
pub mod report;
pub mod request;
pub mod run;
pub mod schedule;
pub mod summary;
pub mod tally;
pub mod target;
pub mod threshold;
pub mod trust;

mod connection;
mod cpu;
mod exchange;
mod http1;
mod http2;
mod slots;
mod transport;
mod worker;

pub use outcome::Outcome;
pub use plan::Plan;
pub use run::{RunError, run};
