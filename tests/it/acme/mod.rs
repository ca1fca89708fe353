//! Certificates that get and renew themselves, against real CAs.

mod ca;
mod caddy;
mod front;
mod host;
mod name_server;

mod account;
mod command;
mod dns_01;
mod issuance;
mod on_demand;
mod renewal;
mod sharing;
mod store;
mod trouble;
