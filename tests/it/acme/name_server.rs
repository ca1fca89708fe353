//! Debian's BIND with two zones: one that takes signed updates, and one whose names lead there.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::ca::free_address;
use crate::support::{eventually, run};

pub const KEY_NAME: &str = "tidegate";
pub const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=";

/// Takes updates of `_acme-challenge` names and of those below `delegated` in the zone `acme.test`, by the key
/// [`KEY_NAME`]; in `other.test`, `_acme-challenge` is a CNAME to a name there.
pub struct NameServer {
    child: Child,
    directory: TempDir,
    address: SocketAddr,
}

impl NameServer {
    #[track_caller]
    pub fn start() -> Self {
        for _ in 0..5 {
            if let Some(server) = Self::try_start(free_address()) {
                return server;
            }
        }
        panic!("BIND doesn't start");
    }

    fn try_start(address: SocketAddr) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let at = directory.path();
        let zone = |more: &str| {
            format!(
                "$TTL 5\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n@ A 127.0.0.1\n* A 127.0.0.1\n{more}"
            )
        };
        fs::write(at.join("acme.zone"), zone("")).unwrap();
        fs::write(at.join("other.zone"), zone("_acme-challenge CNAME other.delegated.acme.test.\n")).unwrap();
        let configuration = format!(
            "key \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
             key \"stranger\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
             options {{ directory {at:?}; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
             pid-file none; session-keyfile none; recursion yes; allow-recursion {{ 127.0.0.1; }}; dnssec-validation no; notify no; }};\n\
             controls {{ }};\n\
             zone \"acme.test\" {{ type primary; file \"acme.zone\"; update-policy {{ \
             grant {KEY_NAME} name _acme-challenge.acme.test. TXT; \
             grant {KEY_NAME} subdomain delegated.acme.test. TXT; }}; }};\n\
             zone \"other.test\" {{ type primary; file \"other.zone\"; }};\n",
            port = address.port()
        );
        fs::write(at.join("named.conf"), configuration).unwrap();
        let said = fs::File::create(at.join("said")).unwrap();
        let child = Command::new("/usr/sbin/named")
            .args(["-g", "-n", "1", "-c"])
            .arg(at.join("named.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap_or_else(|e| panic!("named can't be run: {e}; `make test` installs it"));
        let mut server = Self { child, directory, address };
        let runs = eventually("BIND starts", || {
            let said = server.said();
            let ended = server.child.try_wait().unwrap().is_some();
            (ended || said.contains("running")).then_some(!ended && !said.contains("address in use"))
        });
        runs.then_some(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.directory.path().join("said")).unwrap_or_default()
    }

    /// How many updates it has taken.
    pub fn updates(&self, what: &str) -> usize {
        self.said().lines().filter(|line| line.contains("updating zone") && line.contains(what)).count()
    }

    /// `[acme.dns.bind]` with this key.
    pub fn table(&self, key_name: &str, secret: &str) -> String {
        let address = self.address;
        format!(
            "[acme.dns.bind]\nresolver = \"{address}\"\npropagation_timeout = \"10s\"\n\
             update = {{ server = \"{address}\", key_name = {key_name:?}, secret = {secret:?} }}\n"
        )
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what BIND said:\n{}", self.said());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a name has no text (any more).
pub fn has_no_text(server: SocketAddr, name: &str) -> bool {
    let (ip, port) = (server.ip().to_string(), server.port().to_string());
    let ran = run("python3", |c| c.args(["-c", ASK, &ip, &port, name]));
    ran.success && ran.stdout.trim() == "0"
}

/// Prints how many answers there are.
const ASK: &str = "\
import socket, struct, sys
ip, port, name = sys.argv[1:]
question = b''.join(bytes([len(p)]) + p.encode() for p in name.split('.')) + b'\\0' + struct.pack('!HH', 16, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(struct.pack('!HHHHHH', 7, 0, 1, 0, 0, 0) + question, (ip, int(port)))
print(struct.unpack('!H', s.recv(4096)[6:8])[0])
";
