//! Certificates that get and renew themselves, against real CAs.

mod ca;
mod front;
mod host;

mod command;
mod issuance;
mod renewal;
mod sharing;
mod trouble;
