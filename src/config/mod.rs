//! Configuration: text to checked values.
//!
//! Owns what a user may write (`file`), what it means ([`Config`] and its parts) and every complaint about it
//! ([`diagnostic`]). Never opens a socket, never looks at a clock, never imports pingora; only [`load`] and [`load_endpoints`] read files.
//!
//! A file takes three steps: `read` turns TOML into the tables of `file`, one key at a time; `check` turns these into a
//! [`Config`], whose references are indices and whose values need no further check; [`load`] does both for a file and
//! all that it includes. `PartialEq` on [`Config`] tells a reload what changed.

pub mod build;
pub mod diagnostic;
pub mod load;
pub mod machine;
pub mod memory;
pub mod model;
pub mod schema;

mod check;
mod endpoints;
mod file;
mod include;
mod nginx_names;
mod read;
mod secrets;
mod table;
mod value;
mod variables;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod reference;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use endpoints::load_endpoints;
pub use memory::worst_case_memory;
pub use model::*;
