//! `tidegate reverse-proxy`: a proxy from flags alone.
//!
//! The flags become the text of a configuration file, and that text is read like any other. So a flag can do nothing
//! that a file can't, and `--print` shows the file to go on from.

use std::path::PathBuf;

use super::{CONFIG, config_path, log, run, text};
use crate::config::load;
use crate::server;

#[derive(Debug, clap::Args)]
pub(super) struct ReverseProxy {
    /// Where to listen: :8080 (every address), 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    from: String,
    /// A backend: 127.0.0.1:3000, :3000 (this machine), name:3000. Several are balanced
    #[arg(long, value_name = "ADDRESS", required = true)]
    to: Vec<String>,
    /// How a backend is chosen
    #[arg(long, default_value = "least_conn", value_parser = ["least_conn", "round_robin"])]
    policy: String,
    /// Requests one client may send, as 10/s or 300/m. Default: no limit
    #[arg(long, value_name = "RATE")]
    limit: Option<String>,
    /// Requests beyond the limit's rate that pass at once
    #[arg(long, value_name = "N", requires = "limit", default_value_t = 20)]
    burst: u32,
    /// Serve TLS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Where to serve /metrics, /livez and /readyz, as 127.0.0.1:9900. Default: nowhere
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,
    /// Write a line a request to stdout
    #[arg(long)]
    access_log: bool,
    /// Print these flags as a configuration file, and start nothing
    #[arg(long)]
    print: bool,
}

impl ReverseProxy {
    pub(super) fn perform(self) -> u8 {
        let file = self.configuration();
        let outcome = load::load_str("command line", &file, &server::ThisMachine);
        let Some(loaded) = config_path::tell(outcome) else { return CONFIG };
        if self.print {
            return text::print(file.as_bytes());
        }
        if let Some(metrics) = &loaded.config.metrics
            && !metrics.address.ip().is_loopback()
        {
            eprintln!("warning: metrics are open to whoever reaches {}", metrics.address);
        }
        log::start(&loaded.config.log);
        server::run(loaded, None, run::announce)
    }

    /// What the flags say, as a configuration file.
    fn configuration(&self) -> String {
        // Keys outside of every table come first.
        let mut text = if self.access_log { String::new() } else { "access_log = false\n\n".to_owned() };
        text.push_str(&format!("[[listener]]\naddress = {}\n", quote(&self.from)));
        if self.tls_cert.is_some() {
            text.push_str("tls = true\n");
        }
        text.push_str("\n[[site]]\nhosts = [\"localhost\"]\ndefault = true\n");
        if let (Some(chain), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let (chain, key) = (quote(&chain.to_string_lossy()), quote(&key.to_string_lossy()));
            text.push_str(&format!("certificate = {{ chain = {chain}, key = {key} }}\n"));
        }
        text.push_str("\n[[site.route]]\npath = \"/\"\nupstream = \"backend\"\n");
        if let Some(rate) = &self.limit {
            let (rate, burst) = (quote(rate), self.burst);
            text.push_str("limit = \"client\"\n\n[limit.client]\nkey = \"client_ip\"\n");
            text.push_str(&format!("rate = {rate}\nburst = {burst}\n"));
        }
        let tls = self.to.iter().all(|address| address.starts_with("https://"));
        let endpoints: Vec<String> = self.to.iter().map(|address| quote(&endpoint(address, tls))).collect();
        let (policy, endpoints) = (quote(&self.policy), endpoints.join(", "));
        text.push_str(&format!("\n[upstream.backend]\npolicy = {policy}\nendpoints = [{endpoints}]\n"));
        if tls {
            text.push_str("tls = true\n");
        }
        if let Some(address) = &self.metrics {
            text.push_str(&format!("\n[metrics]\naddress = {}\n", quote(address)));
        }
        if self.access_log {
            text.push_str("\n[access_log]\noutput = \"stdout\"\nformat = \"combined\"\n");
        }
        text
    }
}

/// `:3000` is this machine; a URL is what people paste. `https://` is understood if all are `tls`.
fn endpoint(address: &str, tls: bool) -> String {
    let address = address.trim_end_matches('/');
    if let Some(address) = address.strip_prefix("https://").filter(|_| tls) {
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        return if has_port { address.to_owned() } else { format!("{address}:443") };
    }
    let address = address.strip_prefix("http://").unwrap_or(address);
    if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use crate::config::machine::Nowhere;
    use clap::Parser;

    use super::*;
    use crate::config::{LimitKey, Policy};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        proxy: ReverseProxy,
    }

    fn parse(line: &str) -> ReverseProxy {
        Line::try_parse_from(line.split(' ')).map(|line| line.proxy).unwrap()
    }

    #[test]
    fn the_shortest_form_forwards_everything_to_the_backend() {
        let file = parse("x --from :8080 --to :3000").configuration();
        let config = load::load_str("command line", &file, &Nowhere).unwrap().config;
        assert_eq!(config.listeners[0].address, "0.0.0.0:8080".parse().unwrap());
        assert_eq!(config.upstreams[0].endpoints[0].address, "127.0.0.1:3000");
        assert_eq!(config.upstreams[0].policy, Policy::LeastConn);
        assert!(config.sites[0].default && config.limits.is_empty());
        assert!(config.metrics.is_none() && config.access_log.is_none());
    }

    #[test]
    fn every_flag_reaches_the_configuration() {
        let flags = "x --to http://a.example:1/ --to b.example:2 --policy round_robin --limit 300/m --burst 7 \
                     --metrics 127.0.0.1:9900 --access-log";
        let file = parse(flags).configuration();
        let config = load::load_str("command line", &file, &Nowhere).unwrap().config;
        let endpoints: Vec<&str> = config.upstreams[0].endpoints.iter().map(|e| e.address.as_str()).collect();
        assert_eq!(endpoints, ["a.example:1", "b.example:2"]);
        assert_eq!(config.upstreams[0].policy, Policy::RoundRobin);
        assert_eq!((config.limits[0].burst, config.limits[0].rate.requests.get()), (7, 300));
        assert_eq!(config.limits[0].key, LimitKey::ClientIp);
        assert!(config.metrics.is_some() && config.access_log.is_some());
    }

    #[test]
    fn https_in_front_of_every_backend_turns_tls_on() {
        let of = |line: &str| load::load_str("command line", &parse(line).configuration(), &Nowhere);
        let config = of("x --to https://a.example --to https://b.example:8443/").unwrap().config;
        let endpoints: Vec<&str> = config.upstreams[0].endpoints.iter().map(|e| e.address.as_str()).collect();
        assert_eq!(endpoints, ["a.example:443", "b.example:8443"]);
        assert!(config.upstreams[0].tls.as_ref().is_some_and(|tls| tls.verify));
        assert!(of("x --to https://a.example --to b.example").is_err());
    }

    #[test]
    fn a_quote_in_a_flag_stays_inside_its_string() {
        let file = parse("x --to a\"]\nmax_conns=1:80").configuration();
        let table: toml::Table = file.parse().unwrap();
        let endpoints = table["upstream"]["backend"]["endpoints"].as_array().unwrap();
        assert_eq!(endpoints[0].as_str(), Some("a\"]\nmax_conns=1:80"));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(Line::try_parse_from(["x", "--to", ":1", "--tls-cert", "a.pem"]).is_err());
        assert!(parse("x --to :1 --tls-cert a.pem --tls-key b.pem").configuration().contains("tls = true"));
    }
}
