//! Another CA than pebble: Caddy's.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::ca::{ISSUANCE, free_address};
use super::host::{shown, within};
use crate::support::{Gate, eventually, run};

/// `acme_server` on a port of its own.
struct Caddy {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl Caddy {
    /// `None`: there is no Caddy.
    fn start() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let [port, http] = [(); 2].map(|()| free_address().port());
        let at = directory.path();
        let file = format!(
            "{{\n admin off\n storage file_system {at:?}\n skip_install_trust\n auto_https disable_redirects\n \
             http_port {http}\n https_port {port}\n}}\nhttps://localhost:{port} {{\n tls internal\n acme_server\n}}\n"
        );
        fs::write(at.join("Caddyfile"), file).unwrap();
        let said = fs::File::create(at.join("said")).unwrap();
        let child = Command::new("caddy")
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(at.join("Caddyfile"))
            .env("HOME", at)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .ok()?;
        let caddy = Self { child, directory, port };
        let url = caddy.url();
        let root = caddy.root();
        eventually("Caddy's CA answers", || {
            run("curl", |c| c.args(["-sSf", "-m", "2", "--cacert"]).arg(&root).arg(&url)).success
        });
        Some(caddy)
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/acme/local/directory", self.port)
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("pki/authorities/local/root.crt")
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "what Caddy said:\n{}",
                fs::read_to_string(self.directory.path().join("said")).unwrap_or_default()
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn caddys_ca_issues_too() {
    // It looks at port 80 only, and at addresses rather than at names that only we know.
    const ADDRESS: &str = "127.0.0.77";
    if TcpListener::bind((ADDRESS, 80)).is_err() {
        eprintln!("skipped Caddy's CA: this user can't have port 80 of {ADDRESS}");
        return;
    }
    let Some(caddy) = Caddy::start() else {
        eprintln!("skipped Caddy's CA: there is no caddy");
        return;
    };
    let tls = free_address();
    let directory = TempDir::new().unwrap();
    let toml = format!(
        "workers = 1\n[[listener]]\naddress = \"{ADDRESS}:80\"\nredirect = \"https\"\n\
         [[listener]]\naddress = \"{tls}\"\ntls = true\n\
         [acme]\nagree_terms = true\nissuers = \"caddy\"\nchallenges = \"http-01\"\nstore = {:?}\n\
         [acme.issuer.caddy]\ndirectory = {:?}\nroot = {:?}\n\
         [[site]]\nhosts = \"{ADDRESS}\"\ndefault = true\ncertificate = \"acme\"\n\
         [[site.route]]\npath = \"/\"\nreply = \"x\"\n[access_log]\noutput = \"/dev/null\"\n",
        directory.path().join("acme"),
        caddy.url(),
        caddy.root(),
    );
    let _gate = Gate::start_in(directory, &toml);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(caddy.root()).unwrap()).unwrap();
    within("Caddy issues", ISSUANCE, || shown(tls, ADDRESS, &roots, &[]).ok()?.trusted.then_some(()));
}
