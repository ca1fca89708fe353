//! Integration tests: real sockets, real origins, real clients; a file a theme.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on has failed")]
#![allow(unreachable_pub, reason = "`pub` in `support` is what the themes may use")]

mod support;

mod access_log;
mod acme;
mod balancing;
mod bench_verb;
mod bodies_and_trailers;
mod certificate_files;
mod client_address;
mod client_auth;
mod deadlines;
mod discovery_dns;
mod discovery_file;
mod ejection;
mod expect_continue;
mod grpc;
mod h2_downstream;
mod h2_hostile;
mod h2_upstream;
mod h2_upstream_faults;
mod h2_websocket;
mod headers;
mod hostile;
mod http10;
mod http1_responses;
mod keep_alive_pipelining;
mod life;
mod limits;
mod memory;
mod metrics;
mod overload;
mod policies;
mod privileges;
mod proxy_protocol;
mod redirects;
mod reload;
mod replies;
mod retries;
mod routing;
mod secrets;
mod shortage;
mod splice;
mod system_calls;
mod tcp;
mod tcp_databases;
mod tcp_tls;
mod tls;
mod unix_listener;
mod upgrade_websocket;
mod upstream_sockets;
mod upstream_tls;

mod differential;
