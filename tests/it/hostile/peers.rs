//! The three that are asked, each in front of one endpoint.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use super::{Input, Table};
use crate::support::{Certificate, Gate, Haproxy, Peer, Proxy, Recipe, Setup};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Tidegate,
    Nginx,
    Haproxy,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    Http1,
    /// The same, with deadlines of a second for clients.
    Slow,
    /// HTTP/2 without TLS.
    Http2,
    Tls,
}

impl Listener {
    pub const ALL: [Self; 4] = [Self::Http1, Self::Slow, Self::Http2, Self::Tls];

    /// What clients get, beside Tidegate: short, so that what waits can be seen to.
    fn deadline(self) -> &'static str {
        if self == Self::Http1 { "2s" } else { "1s" }
    }
}

/// One of them; ended when dropped.
pub struct Running {
    pub gate: Option<Gate>,
    address: SocketAddr,
    _held: (Option<Proxy>, Option<Haproxy>, Option<TempDir>),
}

impl Running {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Table {
    pub fn listener(&self) -> Listener {
        match self.rows[0].input {
            Input::Frames(_) | Input::Section(_) => Listener::Http2,
            Input::Handshake(_) => Listener::Tls,
            Input::Slow(..) => Listener::Slow,
            _ => Listener::Http1,
        }
    }
}

impl Who {
    /// As the program says it, if it is there.
    pub fn version(self) -> Option<String> {
        let (program, flag, before) = match self {
            Self::Tidegate => return None,
            Self::Nginx => ("nginx", "-v", "nginx version: nginx/"),
            Self::Haproxy => ("haproxy", "-v", "HAProxy version "),
        };
        let output = Command::new(program).arg(flag).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.strip_prefix(before)?.split_whitespace().next().map(str::to_string)
    }

    #[track_caller]
    pub fn start(self, listener: Listener, endpoint: SocketAddr) -> Running {
        match self {
            Self::Tidegate => start_tidegate(listener, endpoint),
            Self::Nginx => start_nginx(listener, endpoint),
            Self::Haproxy => start_haproxy(listener, endpoint),
        }
    }
}

fn start_tidegate(listener: Listener, endpoint: SocketAddr) -> Running {
    // One worker: its records are in order, and its idle connections are seen by the next request.
    let setup = Setup::to(&[endpoint]).top("workers = 1");
    let setup = setup.upstream("timeouts = { response = \"3s\", between_bytes = \"3s\" }");
    let gate = match listener {
        Listener::Http1 => setup.start(),
        Listener::Slow => setup
            .listener(
                "http = { head_timeout = \"1s\", idle_timeout = \"1s\", body_grace = \"1s\", min_body_rate = \"1k\" }",
            )
            .start(),
        Listener::Http2 => setup.listener("h2c = true").start(),
        Listener::Tls => setup.start_tls().0,
    };
    Running { address: gate.address(), gate: Some(gate), _held: (None, None, None) }
}

fn start_nginx(listener: Listener, endpoint: SocketAddr) -> Running {
    let time = listener.deadline();
    let times = format!("client_header_timeout {time}; client_body_timeout {time}; keepalive_timeout {time};");
    let mut recipe = Recipe::to(&[endpoint]).server(&times, "").location("proxy_read_timeout 1s;", "");
    let mut directory = None;
    match listener {
        Listener::Http1 | Listener::Slow => {}
        Listener::Http2 => recipe.nginx = recipe.nginx.replace("listen {listen};", "listen {listen} http2;"),
        Listener::Tls => {
            let at = TempDir::new().unwrap();
            let Certificate { chain, key } = Certificate::make(at.path(), "test", &["test"]);
            let (chain, key) = (chain.display(), key.display());
            let with = format!("listen {{listen}} ssl http2;\nssl_certificate {chain};\nssl_certificate_key {key};");
            recipe.nginx = recipe.nginx.replace("listen {listen};", &with);
            directory = Some(at);
        }
    }
    let nginx = Peer::Nginx.start(recipe);
    Running { gate: None, address: nginx.address(), _held: (Some(nginx), None, directory) }
}

fn start_haproxy(listener: Listener, endpoint: SocketAddr) -> Running {
    let mut directory = None;
    let time = listener.deadline();
    let speaks = match listener {
        Listener::Http1 | Listener::Slow => String::new(),
        Listener::Http2 => "proto h2".to_string(),
        Listener::Tls => {
            let at = TempDir::new().unwrap();
            let Certificate { chain, key } = Certificate::make(at.path(), "test", &["test"]);
            let both = at.path().join("both.pem");
            fs::write(&both, [fs::read(chain).unwrap(), fs::read(key).unwrap()].concat()).unwrap();
            directory = Some(at);
            format!("ssl crt {} alpn h2,http/1.1", both.display())
        }
    };
    let haproxy = Haproxy::start(&format!(
        "frontend f\nmode http\nbind {{listen}} {speaks}\ntimeout client {time}\ntimeout http-request {time}\n\
         timeout http-keep-alive {time}\ndefault_backend b\n\
         backend b\nmode http\ntimeout server 1s\nhttp-reuse always\nserver s {endpoint}"
    ));
    Running { gate: None, address: haproxy.address(), _held: (None, Some(haproxy), directory) }
}
