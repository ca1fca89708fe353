//! One case, run through nginx and through Tidegate.

use std::fmt::Debug;
use std::net::SocketAddr;

use super::client::Client;
use super::gate::{Gate, Setup};
use super::message::Response;
use super::nginx::Nginx;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Nginx,
    Tidegate,
}

/// The same proxy, said twice.
pub struct Recipe {
    /// What stands in the http block, with `{listen}`.
    pub nginx: String,
    pub tidegate: Setup,
}

impl Recipe {
    /// Everything goes to one upstream as the guide has it, over HTTP/1.1 with keep-alive. Each part is added to both
    /// configurations by [`Recipe::upstream`] and its like.
    pub fn to(endpoints: &[SocketAddr]) -> Self {
        let plain: Vec<_> = endpoints.iter().map(|a| (*a, "", "")).collect();
        Self::with_endpoints(&plain)
    }

    /// Address, nginx's parameters, and what stands in TOML after the address: `("weight=2", "weight = 2")`.
    pub fn with_endpoints(endpoints: &[(SocketAddr, &str, &str)]) -> Self {
        let servers: String = endpoints.iter().map(|(a, nginx, _)| format!("server {a} {nginx};\n")).collect();
        let tables: Vec<_> = endpoints
            .iter()
            .map(|(a, _, toml)| {
                let comma = if toml.is_empty() { "" } else { ", " };
                format!("{{ address = \"{a}\"{comma}{toml} }}")
            })
            .collect();
        let nginx = format!(
            "/*http*/\nupstream u {{\n/*policy*/\n{servers}keepalive 64;\n/*upstream*/\n}}\n\
             server {{\nlisten {{listen}};\nserver_name test;\n/*server*/\n\
             location / {{\nproxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             proxy_set_header X-Forwarded-Proto $scheme;\n/*location*/\n}}\n}}\n"
        );
        // One worker each, so that a response the client has seen is over for the next request too.
        Self { nginx, tidegate: Setup::with_endpoints(&tables).top("workers = 1") }
    }

    /// `least_conn` on both; without it, both do round robin.
    pub fn least_conn(mut self) -> Self {
        self.nginx = self.nginx.replace("/*policy*/", "least_conn;");
        self.tidegate = self.tidegate.upstream("policy = \"least_conn\"");
        self
    }

    /// Another policy on both.
    pub fn policy(mut self, nginx: &str, toml: &str) -> Self {
        self.nginx = self.nginx.replace("/*policy*/", nginx);
        self.tide(|s| s.upstream(toml))
    }

    pub fn round_robin(mut self) -> Self {
        self.tidegate = self.tidegate.upstream("policy = \"round_robin\"");
        self
    }

    /// Lines before the upstream, and tables.
    pub fn http(self, nginx: &str, toml: &str) -> Self {
        self.insert("http", nginx).tide(|s| s.and(toml))
    }

    pub fn upstream(self, nginx: &str, toml: &str) -> Self {
        self.insert("upstream", nginx).tide(|s| s.upstream(toml))
    }

    /// Lines of the server, and keys of the listener.
    pub fn server(self, nginx: &str, toml: &str) -> Self {
        self.insert("server", nginx).tide(|s| s.listener(toml))
    }

    /// Lines of the server, and keys of the site.
    pub fn site(self, nginx: &str, toml: &str) -> Self {
        self.insert("server", nginx).tide(|s| s.site(toml))
    }

    /// Lines of the location, and keys of the route.
    pub fn location(self, nginx: &str, toml: &str) -> Self {
        self.insert("location", nginx).tide(|s| s.route(toml))
    }

    /// Lines of the location, and keys of the upstream: time limits and retries stand there in Tidegate.
    pub fn proxy(self, nginx: &str, toml: &str) -> Self {
        self.insert("location", nginx).tide(|s| s.upstream(toml))
    }

    fn insert(mut self, place: &str, lines: &str) -> Self {
        let mark = format!("/*{place}*/");
        self.nginx = self.nginx.replace(&mark, &format!("{lines}\n{mark}"));
        self
    }

    pub fn tide(mut self, change: impl FnOnce(Setup) -> Setup) -> Self {
        self.tidegate = change(self.tidegate);
        self
    }
}

/// A running one of the two.
pub enum Proxy {
    Nginx(Nginx),
    Tidegate(Gate),
}

impl Peer {
    #[track_caller]
    pub fn start(self, recipe: Recipe) -> Proxy {
        match self {
            Peer::Nginx => {
                let mut text = recipe.nginx;
                for mark in ["http", "policy", "upstream", "server", "location"] {
                    text = text.replace(&format!("/*{mark}*/"), "");
                }
                Proxy::Nginx(Nginx::start(&text))
            }
            Peer::Tidegate => Proxy::Tidegate(recipe.tidegate.start()),
        }
    }
}

impl Proxy {
    pub fn address(&self) -> SocketAddr {
        match self {
            Proxy::Nginx(nginx) => nginx.address(),
            Proxy::Tidegate(gate) => gate.address(),
        }
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// `GET path` for host `test`, on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.send("GET", format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    #[track_caller]
    pub fn send(&self, method: &str, request: impl AsRef<[u8]>) -> Response {
        self.client().send(request).response(method)
    }

    #[track_caller]
    pub fn log_lines(&self, count: usize) -> Vec<String> {
        match self {
            Proxy::Nginx(nginx) => nginx.log_lines(count),
            Proxy::Tidegate(gate) => gate.log_lines(count),
        }
    }
}

/// Runs the case through both; both must observe `expected`.
#[track_caller]
pub fn same_on_both<T: Debug + PartialEq>(expected: T, case: impl Fn(Peer) -> T) {
    assert_eq!(case(Peer::Nginx), expected, "nginx");
    assert_eq!(case(Peer::Tidegate), expected, "Tidegate");
}

/// Runs the case through both, where Tidegate differs on purpose.
#[track_caller]
pub fn on_each<T: Debug + PartialEq>(nginx: T, tidegate: T, case: impl Fn(Peer) -> T) {
    assert_eq!(case(Peer::Nginx), nginx, "nginx");
    assert_eq!(case(Peer::Tidegate), tidegate, "Tidegate");
}
