//! What the demo runs with, and what it tells the user to try: a real configuration file in a temporary directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use tempfile::TempDir;

use super::super::trust;
use super::{Backend, Demo};
use crate::config::load::{self, Loaded};
use crate::server::ThisMachine;
use crate::tls;

/// The demo's directory: configuration, certificate and key. Dropping it removes it.
pub(super) struct Setup {
    directory: TempDir,
}

impl Setup {
    pub(super) fn write(demo: &Demo, backends: &[Backend]) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("tidegate-demo-").tempdir()?;
        let path = directory.path();
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let trusted = trust::of_this_user().and_then(|ca| ca.issue(&names).ok());
        let certificate = trusted.map_or_else(|| tls::self_signed(&names), Ok)?;
        fs::write(path.join(CHAIN), certificate.chain_pem)?;
        write_private(&path.join(KEY), certificate.key_pem.as_bytes())?;
        fs::write(path.join(FILE), configuration(demo, backends, path))?;
        Ok(Self { directory })
    }

    /// The configuration file: what HUP reads again.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    pub(super) fn load(&self) -> anyhow::Result<Loaded> {
        load::load(&self.file(), &ThisMachine)
            .map_err(|errors| anyhow!("{}", errors.render(false)))
            .context("the demo's own file")
    }

    /// What is running, and five lines to try, as one block of text.
    pub(super) fn welcome(&self, demo: &Demo, backends: &[Backend]) -> String {
        let Demo { http, https, metrics } = demo;
        let (file, log) = (self.file(), self.directory.path().join(ACCESS_LOG));
        let behaviors = ["answers at once", "takes 150 ms", "hangs up on every third request"];
        let mut text = format!(
            "\nTidegate demo: one process, three backends, and Tidegate in front of them\n\n  \
             http://{http}     https://{https}     metrics http://{metrics}/metrics\n"
        );
        for (backend, behavior) in backends.iter().zip(behaviors) {
            text.push_str(&format!("  backend {:<7} {}  {behavior}\n", backend.name, backend.address));
        }
        text.push_str(&format!(
            "  configuration   {}\n  access log      {}\n\nTry, in another terminal:\n",
            file.display(),
            log.display()
        ));
        for (what, line) in lines_to_try(demo) {
            text.push_str(&format!("\n  # {what}\n  {line}\n"));
        }
        text.push_str("\nCtrl-C stops it.\n");
        text
    }
}

/// Each line works as printed, in any order, and says what it shows.
fn lines_to_try(demo: &Demo) -> [(&'static str, String); 5] {
    let Demo { http, https, metrics } = demo;
    [
        (
            "Balance: nine requests at once; the slow backend gets fewer than the others",
            format!("seq 9 | xargs -P9 -I{{}} curl -s http://{http}/{{}}"),
        ),
        (
            "Limit: 5 requests a second and a burst of 10 pass, the others get 429",
            format!("for i in $(seq 20); do curl -sk -o /dev/null -w '%{{http_code}} ' https://{https}/; done; echo"),
        ),
        (
            "/health has no limit: only 200",
            format!(
                "for i in $(seq 20); do curl -s -o /dev/null -w '%{{http_code}} ' http://{http}/health; done; echo"
            ),
        ),
        (
            "Ejection: the flaky backend is out for 10 s after 3 failures, and no request fails",
            format!(
                "for i in $(seq 40); do curl -s http://{http}/health; done | sort | uniq -c; \
                 curl -s http://{metrics}/metrics | grep ^tidegate_endpoint_ejected"
            ),
        ),
        ("Metrics: what all this has counted", format!("curl -s http://{metrics}/metrics | grep -v ^#")),
    ]
}

fn configuration(demo: &Demo, backends: &[Backend], directory: &Path) -> String {
    let Demo { http, https, metrics } = demo;
    let quote = |path: PathBuf| toml::Value::String(path.to_string_lossy().into_owned()).to_string();
    let [chain, key, log] = [CHAIN, KEY, ACCESS_LOG].map(|name| quote(directory.join(name)));
    let endpoints: Vec<String> = backends.iter().map(|backend| format!("\"{}\"", backend.address)).collect();
    let endpoints = endpoints.join(", ");
    format!(
        r#"# The demo's configuration. Edit it and send the process HUP: the change takes effect, no connection is touched.

[[listener]]
address = "{http}"

[[listener]]
address = "{https}"
tls = true

[[site]]
hosts = ["localhost"]
default = true
certificate = {{ chain = {chain}, key = {key} }}
security_headers = "guide"

[[site.route]]
path = "/"
upstream = "demo"
limit = "api"

[[site.route]]
path = "/health"          # no limit: exempt
upstream = "demo"

[limit.api]
key = "client_ip"
rate = "5/s"
burst = 10

[upstream.demo]
policy = "least_conn"
max_fails = 3
fail_timeout = "10s"
endpoints = [{endpoints}]

[metrics]
address = "{metrics}"

[access_log]
output = {log}
"#
    )
}

/// Writes a file that only its owner can read, from the first byte on.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content)
}

const FILE: &str = "tidegate.toml";
const CHAIN: &str = "cert.pem";
const KEY: &str = "key.pem";
const ACCESS_LOG: &str = "access.log";

#[cfg(test)]
mod tests {
    use super::super::Behavior;
    use super::*;

    #[test]
    fn the_demo_configuration_loads_without_a_complaint() {
        let demo = Demo {
            http: "127.0.0.1:8080".parse().unwrap(),
            https: "127.0.0.1:8443".parse().unwrap(),
            metrics: "127.0.0.1:9900".parse().unwrap(),
        };
        let backends = [Backend::start("steady", Behavior::Steady).unwrap()];
        let setup = Setup::write(&demo, &backends).unwrap();
        let loaded = setup.load().unwrap();
        assert!(loaded.warnings.is_empty());
        assert_eq!(loaded.config.listeners.len(), 2);
        let directory = setup.directory.path().to_owned();
        drop(setup);
        assert!(!directory.exists());
    }
}
