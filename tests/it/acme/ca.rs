//! A real CA on the loopback: Debian's pebble with its mock DNS, and in front of it something that counts and disturbs.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustls::RootCertStore;
use serde_json::json;
use tempfile::TempDir;

use super::front::Front;
use crate::support::{Certificate, eventually, run};

/// How a pebble is to behave.
#[derive(Clone)]
pub struct Options {
    /// Seconds that certificates are good for.
    pub validity: u64,
    /// Accounts need external account binding: [`EAB_KEY_ID`], [`EAB_HMAC_KEY`].
    pub eab: bool,
    /// How often a nonce is refused, in percent.
    pub nonces_refused: u8,
    /// How often an authorization is used again, in percent.
    pub authorizations_reused: u8,
    pub version: Version,
    /// Another port for TLS-ALPN-01 or HTTP-01, where nobody listens.
    pub deaf: bool,
    /// Every challenge counts as answered.
    pub believes: bool,
    /// Names are looked up here instead of at the mock DNS, which has 127.0.0.1 for every one.
    pub dns: Option<SocketAddr>,
}

/// Which release of Debian a pebble is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 2.4, as installed.
    Bookworm,
    /// 2.6: with renewal information.
    Trixie,
    /// 2.10 or later: with profiles too. They are [`PROFILES`].
    Forky,
}

/// The profiles of [`Version::Forky`], and the seconds that their certificates are good for.
pub const PROFILES: [(&str, u64); 2] = [("classic", 90 * 24 * 3600), ("shortlived", 6 * 24 * 3600)];

impl Default for Options {
    fn default() -> Self {
        Self {
            validity: 90 * 24 * 3600,
            eab: false,
            nonces_refused: 0,
            authorizations_reused: 0,
            version: Version::Bookworm,
            deaf: false,
            believes: false,
            dns: None,
        }
    }
}

pub const EAB_KEY_ID: &str = "kid-1";
pub const EAB_HMAC_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// A running CA.
pub struct Ca {
    directory: TempDir,
    options: Options,
    pebble: Mutex<Child>,
    dns: Child,
    /// Where pebble listens.
    behind: SocketAddr,
    management: SocketAddr,
    /// Where it looks for answers: the ports that a gate has to listen on.
    pub http01: u16,
    pub tls_alpn01: u16,
    pub dns_server: SocketAddr,
    /// Where the mock DNS is told of records.
    pub dns_management: SocketAddr,
    /// What clients speak to.
    pub front: Front,
    certificate: Certificate,
}

impl Ca {
    #[track_caller]
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    #[track_caller]
    pub fn with(options: Options) -> Self {
        for _ in 0..5 {
            // A port that was free a moment ago may be taken by now.
            if let Some(ca) = Self::try_with(&options) {
                return ca;
            }
        }
        panic!("no pebble starts");
    }

    fn try_with(options: &Options) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let certificate = Certificate::make(directory.path(), "api", &["localhost", "127.0.0.1"]);
        let [behind, management, dns_server, dns_management] = [(); 4].map(|()| free_address());
        let [http01, tls_alpn01] = [(); 2].map(|()| free_address().port());
        let dns = start_dns(dns_server, dns_management);
        let front = Front::start(&certificate, behind);
        let ca = Self {
            pebble: Mutex::new(dns_placeholder()),
            directory,
            options: options.clone(),
            dns,
            behind,
            management,
            http01,
            tls_alpn01,
            dns_server,
            dns_management,
            front,
            certificate,
        };
        ca.start_pebble().then_some(ca)
    }

    /// URL of the directory, by way of the front.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.front.address())
    }

    /// The root that its API's server is verified by.
    pub fn root(&self) -> &Path {
        &self.certificate.chain
    }

    /// The roots that issued certificates are verified by: those of now, and those of before a restart.
    pub fn issuer_roots(&self) -> RootCertStore {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let mut roots = RootCertStore::empty();
        for file in fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if file.file_name().unwrap().to_str().unwrap().starts_with("roots-") {
                roots.add_parsable_certificates(CertificateDer::pem_file_iter(file).unwrap().map(Result::unwrap));
            }
        }
        roots
    }

    /// `[acme.issuer.NAME]` for this CA.
    pub fn issuer(&self, name: &str) -> String {
        format!("[acme.issuer.{name}]\ndirectory = {:?}\nroot = {:?}\n", self.directory(), self.root())
    }

    /// Ends it, as a power cut would.
    pub fn kill(&self) {
        let mut pebble = self.pebble.lock().unwrap();
        pebble.kill().unwrap();
        pebble.wait().unwrap();
    }

    /// Starts it again: without its accounts, orders and keys.
    #[track_caller]
    pub fn restart(&self) {
        self.kill();
        assert!(self.start_pebble(), "pebble doesn't start again");
    }

    /// `"STOP"` makes it hang, `"CONT"` goes on.
    pub fn signal(&self, name: &str) {
        let id = self.pebble.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Orders placed.
    pub fn orders(&self) -> usize {
        self.front.requests("/order-plz")
    }

    /// Certificates given out.
    pub fn certificates(&self) -> usize {
        self.front.requests("/certZ/")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("pebble.log")).unwrap_or_default()
    }

    fn start_pebble(&self) -> bool {
        let at = self.directory.path();
        let mut configuration = json!({ "pebble": {
            "listenAddress": self.behind,
            "managementListenAddress": self.management,
            "certificate": self.certificate.chain,
            "privateKey": self.certificate.key,
            "httpPort": if self.options.deaf { 1 } else { self.http01 },
            "tlsPort": if self.options.deaf { 1 } else { self.tls_alpn01 },
            "ocspResponderURL": "",
            "externalAccountBindingRequired": self.options.eab,
            "externalAccountMACKeys": { EAB_KEY_ID: EAB_HMAC_KEY },
            "domainBlocklist": ["blocked.test"],
            "retryAfter": { "authz": 1, "order": 1 },
        } });
        if self.options.version == Version::Forky {
            let profile = |(name, validity)| (name, json!({ "description": name, "validityPeriod": validity }));
            configuration["pebble"]["profiles"] = PROFILES.map(profile).into_iter().collect();
        } else {
            configuration["pebble"]["certificateValidityPeriod"] = self.options.validity.into();
        }
        fs::write(at.join("pebble.json"), configuration.to_string()).unwrap();
        let log = fs::OpenOptions::new().create(true).append(true).open(at.join("pebble.log")).unwrap();
        let child = Command::new(program(self.options.version))
            .arg("-config")
            .arg(at.join("pebble.json"))
            .args(["-dnsserver", &self.options.dns.unwrap_or(self.dns_server).to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_VA_ALWAYS_VALID", if self.options.believes { "1" } else { "0" })
            .env("PEBBLE_WFE_NONCEREJECT", self.options.nonces_refused.to_string())
            .env("PEBBLE_AUTHZREUSE", self.options.authorizations_reused.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("pebble can't be run: {e}; `make test` installs it"));
        *self.pebble.lock().unwrap() = child;
        let url = format!("https://{}/roots/0", self.management);
        let started = eventually("pebble starts", || {
            let ended = self.pebble.lock().unwrap().try_wait().unwrap().is_some();
            let roots = run("curl", |c| c.args(["-sS", "-f", "-m", "2", "--cacert"]).arg(self.root()).arg(&url));
            if roots.success {
                let count = fs::read_dir(at).unwrap().count();
                fs::write(at.join(format!("roots-{count}.pem")), roots.stdout).unwrap();
                return Some(true);
            }
            ended.then_some(false)
        });
        started && TcpStream::connect(self.behind).is_ok()
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        let pebble = self.pebble.get_mut().unwrap();
        for child in [pebble, &mut self.dns] {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("what pebble said:\n{}", self.log());
        }
    }
}

/// Where `scripts/newer-pebble` puts those that aren't installed.
fn program(version: Version) -> PathBuf {
    let release = match version {
        Version::Bookworm => return PathBuf::from("pebble"),
        Version::Trixie => "trixie",
        Version::Forky => "forky",
    };
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    target.join("newer-pebble").join(release).join("usr/bin/pebble")
}

/// A newer pebble's options; `None`, with the reason printed, if it isn't there.
pub fn newer_or_skip(test: &str, version: Version) -> Option<Options> {
    if !program(version).exists() {
        eprintln!("skipped {test}: {version:?}'s pebble isn't there; scripts/newer-pebble fetches it");
        return None;
    }
    Some(Options { version, ..Options::default() })
}

fn start_dns(server: SocketAddr, management: SocketAddr) -> Child {
    Command::new("pebble-challtestsrv")
        .args(["-management", &management.to_string(), "-dns01", &server.to_string()])
        .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("pebble-challtestsrv can't be run: {e}; `make test` installs it"))
}

/// Something to stand where pebble will.
fn dns_placeholder() -> Child {
    Command::new("true").spawn().unwrap()
}

/// An address that nobody listens on, and nobody else here was given.
pub fn free_address() -> SocketAddr {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    loop {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut given = GIVEN.lock().unwrap();
        if !given.contains(&address.port()) {
            given.push(address.port());
            return address;
        }
    }
}

/// The longest that a certificate takes here.
pub const ISSUANCE: Duration = Duration::from_secs(30);
