//! Debian's nginx as a child, with a configuration of its own in a directory of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;

/// One process, no master; killed when dropped.
pub struct Nginx {
    child: Child,
    directory: TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// `http` is what stands in the http block; `{listen}` in it becomes an address that is free.
    #[track_caller]
    pub fn start(http: &str) -> Self {
        // Between choosing a port and nginx binding it, another process may take it.
        for _ in 0..5 {
            if let Some(nginx) = Self::try_start(http) {
                return nginx;
            }
        }
        panic!("nginx found no free port");
    }

    fn try_start(http: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let at = directory.path();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = configuration(at, &http.replace("{listen}", &address.to_string()));
        let file = at.join("nginx.conf");
        fs::write(&file, text).unwrap();
        let child = Command::new("nginx")
            .args(["-e", "stderr", "-p"])
            .arg(at)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at.join("stderr")).unwrap())
            .spawn()
            .expect("nginx can't be run; `make test` installs it");
        let mut nginx = Self { child, directory, address };
        let pid = nginx.directory.path().join("pid");
        let started = eventually("nginx starts", || {
            let ended = nginx.child.try_wait().unwrap().is_some();
            // It writes the file once its sockets listen.
            let started = fs::read_to_string(&pid).is_ok_and(|p| !p.is_empty());
            (ended || started).then_some(started && !ended)
        });
        let said = fs::read_to_string(nginx.directory.path().join("stderr")).unwrap();
        assert!(started || said.contains("Address already in use"), "nginx didn't start: {said}");
        started.then_some(nginx)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The access log so far, once it has `count` lines.
    #[track_caller]
    pub fn log_lines(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} lines in nginx's access log"), || {
            let text = fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(str::to_string).collect();
            (lines.len() >= count).then_some(lines)
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(at: &Path, http: &str) -> String {
    let at = at.display();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log stderr info;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n\
         access_log {at}/access.log combined;\n\
         client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
         fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
         {http}\n\
         }}\n"
    )
}
