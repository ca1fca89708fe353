//! `tidegate healthcheck`: one plain HTTP GET, for a container's HEALTHCHECK and for scripts.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::config_path::{ConfigPath, DEFAULT_PATH};
use super::{FAILED, OK, USAGE};

#[derive(Debug, clap::Args)]
pub(super) struct Healthcheck {
    /// What to ask, http:// only. Default: /readyz at the metrics address of the configuration file, or at
    /// 127.0.0.1:9900 if there is no such file
    url: Option<http::Uri>,

    #[command(flatten)]
    config: ConfigPath,

    /// How long the whole exchange may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

impl Healthcheck {
    /// 0 for an answer of the 2xx class in time, 1 for anything else, with one line on stderr.
    pub(super) fn perform(self) -> u8 {
        let target = match self.target() {
            Ok(target) => target,
            Err(code) => return code,
        };
        match ask(&target, Instant::now() + Duration::from_secs(self.timeout)) {
            Ok(status) if (200..300).contains(&status) => OK,
            Ok(status) => {
                eprintln!("{target} answered {status}");
                FAILED
            }
            Err(error) => {
                eprintln!("{target}: {error}");
                FAILED
            }
        }
    }

    fn target(&self) -> Result<Target, u8> {
        if let Some(url) = &self.url {
            return Target::from_url(url).ok_or_else(|| {
                eprintln!("{url}: expected a URL like http://127.0.0.1:9900/readyz");
                USAGE
            });
        }
        let path = self.config.path();
        if path.as_os_str() == DEFAULT_PATH && !path.exists() {
            return Ok(Target::ready_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 9900))));
        }
        let loaded = self.config.load().ok_or(FAILED)?;
        let metrics = loaded.config.metrics.ok_or_else(|| {
            eprintln!("{} has no [metrics] listener: give a URL to ask", path.display());
            FAILED
        })?;
        Ok(Target::ready_at(metrics.address))
    }
}

/// Whom to ask for what.
#[derive(Debug, PartialEq)]
struct Target {
    /// `host:port`, both for the connection and for the Host field.
    authority: String,
    path: String,
}

impl Target {
    fn from_url(url: &http::Uri) -> Option<Self> {
        let authority = url.authority()?;
        if url.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return None;
        }
        let port = authority.port_u16().unwrap_or(80);
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        Some(Self { authority: format!("{}:{port}", authority.host()), path: path.to_owned() })
    }

    /// `/readyz` at a listener's address; one that listens everywhere is asked over loopback.
    fn ready_at(mut address: SocketAddr) -> Self {
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        Self { authority: address.to_string(), path: "/readyz".to_owned() }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "http://{}{}", self.authority, self.path)
    }
}

/// Sends the GET and returns the status. Reads no more than the status line.
fn ask(target: &Target, deadline: Instant) -> io::Result<u16> {
    let mut stream = connect(&target.authority, deadline)?;
    let request = format!("GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", target.path, target.authority);
    stream.set_write_timeout(Some(remaining(deadline)?))?;
    stream.write_all(request.as_bytes())?;
    let mut line = Vec::with_capacity(STATUS_LINE);
    while line.len() < STATUS_LINE {
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        let mut chunk = [0; STATUS_LINE];
        let free = STATUS_LINE - line.len();
        match stream.read(&mut chunk[..free]) {
            Ok(0) => break,
            Ok(read) => line.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(too_late()),
            Err(error) => return Err(error),
        }
    }
    parse_status(&line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1"))
}

fn connect(authority: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, remaining(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Time until the deadline; never zero, which the socket calls refuse.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or_else(too_late)
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

fn parse_status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

/// Bytes of `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answer_once(bytes: &'static [u8]) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::ready_at(listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(bytes);
        });
        target
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn reads_the_status_of_an_answer() {
        assert_eq!(ask(&answer_once(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), soon()).unwrap(), 503);
    }

    #[test]
    fn refuses_an_answer_that_is_not_http() {
        assert_eq!(ask(&answer_once(b"SSH-2.0-OpenSSH"), soon()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn gives_up_on_a_server_that_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::ready_at(listener.local_addr().unwrap());
        let error = ask(&target, Instant::now() + Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn asks_a_listener_on_every_address_over_loopback() {
        assert_eq!(Target::ready_at("0.0.0.0:9900".parse().unwrap()).to_string(), "http://127.0.0.1:9900/readyz");
        assert_eq!(Target::ready_at("[::]:9900".parse().unwrap()).to_string(), "http://[::1]:9900/readyz");
    }

    #[test]
    fn takes_plain_http_urls_only() {
        let parse = |text: &str| Target::from_url(&text.parse().unwrap()).map(|target| target.to_string());
        assert_eq!(parse("http://localhost/live").as_deref(), Some("http://localhost:80/live"));
        assert_eq!(parse("http://[::1]:81").as_deref(), Some("http://[::1]:81/"));
        assert_eq!(parse("https://localhost/"), None);
        assert_eq!(parse("/readyz"), None);
    }
}
