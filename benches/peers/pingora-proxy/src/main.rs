//! A stock pingora-proxy: what its own examples show, with two origins in turn and nothing else.
//!
//! No limits, no header rules, no access log, no ejection: less work than Tidegate does, so that what is left of the
//! difference is the relay's. Part of the bench only; ARCHITECTURE.md says why it isn't on Tidegate's request path.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::server::Server;
use pingora_core::server::configuration::{Opt, ServerConf};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

const USAGE: &str = "usage: pingora-proxy-peer PLAIN_ADDRESS TLS_ADDRESS CHAIN.pem KEY.pem http1|h2c ORIGIN...";

struct Peer {
    origins: Vec<String>,
    next: AtomicUsize,
    /// Whether the origins speak HTTP/2 without TLS instead of HTTP/1.1.
    h2c: bool,
}

#[async_trait]
impl ProxyHttp for Peer {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.origins.len();
        let mut peer = HttpPeer::new(self.origins[turn].as_str(), false, String::new());
        if self.h2c {
            peer.options.set_http_version(2, 2);
        }
        Ok(Box::new(peer))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [plain, tls, chain, key, version, origins @ ..] = arguments else {
        return Err(USAGE.into());
    };
    if origins.is_empty() || !["http1", "h2c"].contains(&version.as_str()) {
        return Err(USAGE.into());
    }
    // One thread a service is the default; the pool is as large as the other proxies' in the bench.
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 5120, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(Opt::default(), conf);
    server.bootstrap();
    let peer = Peer { origins: origins.to_vec(), next: AtomicUsize::new(0), h2c: version == "h2c" };
    let mut service = http_proxy_service(&server.configuration, peer);
    service.add_tcp(plain);
    let mut settings = TlsSettings::intermediate(chain, key)?;
    settings.enable_h2();
    service.add_tls_with_settings(tls, None, settings);
    server.add_service(service);
    server.run_forever()
}
