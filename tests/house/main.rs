//! The rules of the house: imports point one way, files stay small, papers and packaging tell the truth, and the
//! program's command line keeps its promises.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on has failed")]

mod command_line;
mod demo;
mod imports;
mod packaging;
mod papers;
mod support;
