//! Certificates that get and renew themselves, against real CAs.

mod ca;
mod front;
mod host;

mod issuance;
mod renewal;
mod sharing;
mod trouble;
