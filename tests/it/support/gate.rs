//! Tidegate in this process, with whatever configuration a test needs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::config::load::load_str;
use tidegate::config::machine::Nowhere;
use tidegate::server::Instance;

use super::client::{Client, Tls};
use super::message::Response;
use super::{Certificate, H2Client, eventually};

/// A configuration in parts: one listener, one site, one route, one upstream, and what a test adds to each.
#[derive(Clone, Default)]
pub struct Setup {
    endpoints: Vec<String>,
    top: String,
    listener: String,
    site: String,
    route: String,
    upstream: String,
    more: String,
    sites: Option<String>,
    log: Option<String>,
}

impl Setup {
    /// Everything goes to these endpoints.
    pub fn to(endpoints: &[SocketAddr]) -> Self {
        let endpoints = endpoints.iter().map(|a| format!("\"{a}\"")).collect();
        Self { endpoints, ..Self::default() }
    }

    /// Endpoints as TOML: `{ address = "…", weight = 2 }`.
    pub fn with_endpoints(endpoints: &[String]) -> Self {
        Self { endpoints: endpoints.to_vec(), ..Self::default() }
    }

    /// Keys at the top of the file.
    pub fn top(mut self, keys: &str) -> Self {
        self.top += &format!("{keys}\n");
        self
    }

    /// Keys of the listener.
    pub fn listener(mut self, keys: &str) -> Self {
        self.listener += &format!("{keys}\n");
        self
    }

    /// Keys of the site.
    pub fn site(mut self, keys: &str) -> Self {
        self.site += &format!("{keys}\n");
        self
    }

    /// Keys of the route.
    pub fn route(mut self, keys: &str) -> Self {
        self.route += &format!("{keys}\n");
        self
    }

    /// Keys of the upstream.
    pub fn upstream(mut self, keys: &str) -> Self {
        self.upstream += &format!("{keys}\n");
        self
    }

    /// Further tables.
    pub fn and(mut self, tables: &str) -> Self {
        self.more += &format!("{tables}\n");
        self
    }

    /// These tables instead of the one site with its route.
    pub fn sites(mut self, tables: &str) -> Self {
        self.sites = Some(tables.to_string());
        self
    }

    /// The access log's keys, but for its output. Default: `format = "json"`.
    pub fn log(mut self, keys: &str) -> Self {
        self.log = Some(keys.to_string());
        self
    }

    /// The whole file. The access log goes to `access.log` in `directory`.
    pub fn toml(&self, directory: &Path) -> String {
        let Self { top, listener, site, route, upstream, more, .. } = self;
        let workers = if top.contains("workers") { "" } else { "workers = 2\n" };
        let sites = self.sites.clone().unwrap_or_else(|| {
            format!(
                "[[site]]\nhosts = [\"test\"]\ndefault = true\n{site}\n\
                 [[site.route]]\npath = \"/\"\nupstream = \"u\"\n{route}"
            )
        });
        let endpoints = self.endpoints.join(", ");
        let log = self.log.as_deref().unwrap_or("format = \"json\"");
        let file = directory.join("access.log");
        format!(
            "{workers}{top}\n[[listener]]\naddress = \"127.0.0.1:0\"\n{listener}\n{sites}\n\
             [upstream.u]\nendpoints = [{endpoints}]\n{upstream}\n{more}\n\
             [metrics]\naddress = \"127.0.0.2:0\"\n\n[access_log]\noutput = {file:?}\n{log}\n"
        )
    }

    #[track_caller]
    pub fn start(&self) -> Gate {
        let directory = TempDir::new().unwrap();
        let toml = self.toml(directory.path());
        Gate::start_in(directory, &toml)
    }

    /// A listener with TLS for `test`, which the certificate that comes along is for.
    #[track_caller]
    pub fn start_tls(&self) -> (Gate, Certificate) {
        let directory = TempDir::new().unwrap();
        let certificate = Certificate::make(directory.path(), "test", &["test"]);
        let listener = if self.listener.contains("tls") { "" } else { "tls = true" };
        let setup = self.clone().listener(listener).site(&format!("certificate = {}", certificate.toml()));
        let toml = setup.toml(directory.path());
        (Gate::start_in(directory, &toml), certificate)
    }
}

/// A running instance; shut down at once when dropped.
pub struct Gate {
    instance: Option<Arc<Instance>>,
    directory: Arc<TempDir>,
}

impl Gate {
    /// All defaults, to these endpoints.
    #[track_caller]
    pub fn to(endpoints: &[SocketAddr]) -> Self {
        Setup::to(endpoints).start()
    }

    #[track_caller]
    pub fn start_in(directory: TempDir, toml: &str) -> Self {
        let instance = Instance::start(load(toml)).unwrap_or_else(|e| panic!("{toml}\n{e}"));
        Self { instance: Some(instance), directory: Arc::new(directory) }
    }

    #[track_caller]
    pub fn reload(&self, setup: &Setup) {
        self.try_reload(setup).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Reloads, or tells why that can't be.
    pub fn try_reload(&self, setup: &Setup) -> Result<(), String> {
        self.instance().reload(load(&setup.toml(self.directory.path()))).map_err(|error| error.to_string())
    }

    pub fn instance(&self) -> &Instance {
        self.instance.as_ref().unwrap()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The first listener.
    pub fn address(&self) -> SocketAddr {
        self.listener(0)
    }

    pub fn listener(&self, number: usize) -> SocketAddr {
        self.instance().listeners()[number].ip().unwrap()
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// `GET path` on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    /// A raw request on a connection of its own, and its response.
    #[track_caller]
    pub fn send(&self, request: impl AsRef<[u8]>) -> Response {
        let bytes = request.as_ref();
        let method = String::from_utf8_lossy(bytes.split(|&b| b == b' ').next().unwrap()).into_owned();
        self.client().send(bytes).response(&method)
    }

    /// HTTP/2 with prior knowledge.
    #[track_caller]
    pub fn h2c(&self) -> H2Client {
        H2Client::connect(self.address(), None)
    }

    /// HTTP/2 over TLS.
    #[track_caller]
    pub fn h2(&self, certificate: &Certificate) -> H2Client {
        H2Client::connect(self.address(), Some(&Tls::h2(certificate, "test")))
    }

    /// What `GET /metrics` answers on the metrics listener.
    #[track_caller]
    pub fn metrics(&self) -> String {
        scrape(self.instance().metrics().unwrap())
    }

    /// The sum of the series of this name that have all of these labels: `name{a="b"}`. 0 without any.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        sum_of(&self.metrics(), series)
    }

    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("access.log")
    }

    /// The access log so far, once it has `count` lines.
    #[track_caller]
    pub fn log_lines(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} lines in the access log"), || {
            let text = fs::read_to_string(self.log_path()).unwrap_or_default();
            let complete = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
            let lines: Vec<_> = complete.lines().map(str::to_string).collect();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// As JSON.
    #[track_caller]
    pub fn records(&self, count: usize) -> Vec<serde_json::Value> {
        self.log_lines(count).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The `reason` of the only record.
    #[track_caller]
    pub fn logged_reason(&self) -> String {
        self.records(1)[0]["reason"].as_str().unwrap_or_default().to_string()
    }

    /// Drains on another thread; the join tells when it is done.
    pub fn shutdown(mut self, drain: Duration) -> std::thread::JoinHandle<Arc<TempDir>> {
        let instance = self.instance.take().unwrap();
        let directory = self.directory.clone();
        std::thread::spawn(move || {
            instance.shutdown(drain);
            directory
        })
    }
}

/// `GET /metrics` at a metrics listener.
#[track_caller]
pub fn scrape(address: SocketAddr) -> String {
    let response =
        Client::connect(address).send("GET /metrics HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").response("GET");
    assert_eq!(response.status, 200);
    response.text()
}

/// The sum of the series that match; see [`Gate::metric`].
#[track_caller]
pub fn sum_of(metrics: &str, series: &str) -> f64 {
    let (name, labels) = series.strip_suffix('}').and_then(|s| s.split_once('{')).unwrap_or((series, ""));
    let wanted: Vec<_> = labels.split(',').filter(|l| !l.is_empty()).collect();
    metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(key, _)| key.split('{').next() == Some(name))
        .filter(|(key, _)| wanted.iter().all(|label| key.contains(label)))
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .sum()
}

#[track_caller]
fn load(toml: &str) -> tidegate::config::Config {
    match load_str("test.toml", toml, &Nowhere) {
        Ok(loaded) => loaded.config,
        Err(diagnostics) => panic!("{toml}\n{diagnostics}"),
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            instance.shutdown(Duration::ZERO);
        }
    }
}
