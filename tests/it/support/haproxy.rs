//! Debian's HAProxy as a child, with a configuration of its own in a directory of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;

/// One process; killed when dropped.
pub struct Haproxy {
    child: Child,
    _directory: TempDir,
    address: SocketAddr,
}

impl Haproxy {
    /// `sections` stand below a plain `defaults`; `{listen}` in them becomes an address that is free.
    #[track_caller]
    pub fn start(sections: &str) -> Self {
        // Between choosing a port and HAProxy binding it, another process may take it.
        for _ in 0..5 {
            if let Some(haproxy) = Self::try_start(sections) {
                return haproxy;
            }
        }
        panic!("HAProxy found no free port, or refuses its configuration");
    }

    fn try_start(sections: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = directory.path().join("haproxy.cfg");
        let sections = sections.replace("{listen}", &address.to_string());
        let times = "timeout connect 5s\ntimeout client 10s\ntimeout server 10s";
        fs::write(&file, format!("global\nnbthread 1\nnoreuseport\ndefaults\nmode tcp\n{times}\n{sections}\n"))
            .unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("stderr")).unwrap())
            .spawn()
            .expect("haproxy can't be run; `make test` installs it");
        let mut haproxy = Self { child, _directory: directory, address };
        eventually("HAProxy listens, or ends", || {
            let ended = haproxy.child.try_wait().unwrap().is_some();
            (ended || TcpStream::connect(address).is_ok()).then_some(!ended)
        })
        .then_some(haproxy)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
