use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use chrono::DateTime;

use super::stamp::Stamp;
use super::*;
use crate::config::{LogFormat, LogOutput};
use crate::http::address::{Client, Peer};
use crate::http::head::Version;
use crate::reason::Reason;

fn record() -> Record<'static> {
    Record {
        time: UNIX_EPOCH + Duration::from_millis(1_790_589_600_123),
        client: Client::Ip("203.0.113.9".parse().unwrap()),
        peer: Peer::Ip("10.0.0.1:4711".parse().unwrap()),
        method: b"GET",
        target: b"/a?b=c",
        version: Some(Version::Http11),
        host: b"example.com",
        status: 200,
        bytes_sent: 128,
        bytes_received: 321,
        referer: None,
        user_agent: Some(b"curl/8"),
        user: None,
        duration: Duration::from_micros(1234),
        site: "example.com",
        route: "/",
        upstream: Some("api"),
        endpoint: Some("10.0.0.2:80"),
        retried: &[],
        attempts: 1,
        connect: None,
        first_byte: Some(Duration::from_micros(1000)),
        reason: None,
        request_id: b"abc",
        tls: None,
    }
}

fn line(format: LogFormat, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    Format::compile(&format).unwrap().write(record, &mut Stamp::new(), &mut out);
    String::from_utf8(out).unwrap()
}

/// A path of its own under the temporary directory, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidegate-log-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn log(&self) -> PathBuf {
        self.0.join("access.log")
    }

    fn start(&self) -> Arc<AccessLog> {
        start(self.log())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(path: PathBuf) -> Arc<AccessLog> {
    let format = LogFormat::Template("{status} {target}".into());
    AccessLog::start(&config::AccessLog { output: LogOutput::File(path), format }).unwrap()
}

fn eventually(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "did not come true");
        thread::sleep(Duration::from_millis(2));
    }
}

fn count(path: &PathBuf) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn combined_is_laid_out_as_nginx_does() {
    let record = Record {
        referer: Some(b"https://a/\"x\""),
        user: Some(b"ann"),
        user_agent: Some(b""),
        target: b"/\xc3\xa9\\",
        ..record()
    };
    let mut stamp = Stamp::new();
    let time = String::from_utf8(stamp.local(record.time).to_vec()).unwrap();
    assert_eq!(
        line(LogFormat::Combined, &record),
        format!(
            "203.0.113.9 - ann [{time}] \"GET /\\xC3\\xA9\\x5C HTTP/1.1\" 200 128 \"https://a/\\x22x\\x22\" \"\"\n"
        )
    );
}

#[test]
fn combined_writes_a_dash_for_what_is_not_there() {
    let record = Record { method: b"", target: b"", status: 408, bytes_sent: 0, user_agent: None, ..record() };
    let line = line(LogFormat::Combined, &record);
    assert!(line.starts_with("203.0.113.9 - - ["), "{line}");
    assert!(line.ends_with("] \"-\" 408 0 \"-\" \"-\"\n"), "{line}");
}

#[test]
fn combined_writes_a_request_line_that_is_none_as_it_came() {
    let record = Record { method: b"", target: b"\x16\x03\x01", status: 400, ..record() };
    assert!(line(LogFormat::Combined, &record).contains("] \"\\x16\\x03\\x01\" 400 "));
}

#[test]
fn json_says_everything_that_is_known() {
    let retried = [Arc::from("10.0.0.3:80")];
    let record = Record {
        user: Some(b"ann"),
        referer: Some(b"r\"\xff"),
        retried: &retried,
        attempts: 2,
        connect: Some(Duration::from_millis(2)),
        reason: Some(Reason::UpstreamBodyBroken),
        tls: Some(TlsRecord {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            resumed: true,
            client: Some("CN=ann"),
        }),
        ..record()
    };
    let expected = concat!(
        r#"{"time":"2026-09-28T10:00:00.123Z","client":"203.0.113.9","peer":"10.0.0.1:4711","user":"ann","#,
        r#""method":"GET","host":"example.com","target":"/a?b=c","version":"HTTP/1.1","status":200,"#,
        r#""bytes_sent":128,"bytes_received":321,"duration":0.001234,"referer":"r\"\u00ff","user_agent":"curl/8","#,
        r#""site":"example.com","route":"/","upstream":"api","endpoint":"10.0.0.2:80","retried":["10.0.0.3:80"],"#,
        r#""attempts":2,"connect":0.002000,"first_byte":0.001000,"reason":"upstream_body_broken","#,
        r#""request_id":"abc","tls_version":"TLSv1.3","tls_cipher":"TLS_AES_128_GCM_SHA256","tls_resumed":true,"#,
        r#""tls_client":"CN=ann"}"#,
        "\n"
    );
    let line = line(LogFormat::Json, &record);
    assert_eq!(line, expected);
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    let mut fields = FIELDS.to_vec();
    names.sort_unstable();
    fields.sort_unstable();
    assert_eq!(names, fields);
}

#[test]
fn json_leaves_out_what_is_absent() {
    let line = line(LogFormat::Json, &record());
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
    for absent in ["user", "referer", "retried", "connect", "reason", "tls_version", "tls_resumed"] {
        assert!(!object.contains_key(absent), "{absent}");
    }
}

#[test]
fn a_template_fills_in_bare_values() {
    let retried = [Arc::from("a:1"), Arc::from("b:2")];
    let record = Record { retried: &retried, host: b"a\"b", ..record() };
    let template = "{time} [{host}] {duration} {retried} {reason} {tls_resumed} {peer}";
    assert_eq!(
        line(LogFormat::Template(template.into()), &record),
        "2026-09-28T10:00:00.123Z [a\\x22b] 0.001234 a:1,b:2 - - 10.0.0.1:4711\n"
    );
}

#[test]
fn lines_reach_the_file_at_the_tick_and_at_the_end() {
    let scratch = Scratch::new();
    let log = scratch.start();
    let mut buffer = log.buffer();
    buffer.write(&record());
    buffer.flush();
    eventually(|| fs::read_to_string(scratch.log()).is_ok_and(|text| text == "200 /a?b=c\n"));
    buffer.write(&record());
    drop(buffer);
    log.close();
    assert_eq!(count(&scratch.log()), 2);
    assert_eq!(log.dropped(), 0);
}

#[test]
fn workers_write_at_once_without_mixing_lines() {
    let scratch = Scratch::new();
    let log = scratch.start();
    thread::scope(|scope| {
        for worker in ["/one", "/two", "/three"] {
            let mut buffer = log.buffer();
            scope.spawn(move || {
                for _ in 0..20_000 {
                    buffer.write(&Record { target: worker.as_bytes(), ..record() });
                }
            });
        }
    });
    log.close();
    let text = fs::read_to_string(scratch.log()).unwrap();
    assert!(text.lines().all(|line| ["200 /one", "200 /two", "200 /three"].contains(&line)));
    assert_eq!(text.lines().count() as u64 + log.dropped(), 60_000);
}

#[test]
fn a_renamed_file_is_let_go_at_reopen() {
    let scratch = Scratch::new();
    let log = scratch.start();
    let mut buffer = log.buffer();
    let rotated = scratch.0.join("access.log.1");
    buffer.write(&record());
    buffer.flush();
    eventually(|| count(&scratch.log()) == 1);
    fs::rename(scratch.log(), &rotated).unwrap();
    log.reopen();
    eventually(|| scratch.log().exists());
    buffer.write(&record());
    drop(buffer);
    log.close();
    assert_eq!((count(&rotated), count(&scratch.log())), (1, 1));
}

#[test]
fn a_path_that_cannot_be_reopened_keeps_the_old_file() {
    let scratch = Scratch::new();
    let log = scratch.start();
    let moved = Scratch::new();
    let aside = moved.0.join("aside");
    fs::rename(scratch.log(), &aside).unwrap();
    fs::create_dir(scratch.log()).unwrap();
    log.reopen();
    let mut buffer = log.buffer();
    buffer.write(&record());
    drop(buffer);
    log.close();
    assert_eq!(count(&aside), 1);
}

/// `/dev/full` refuses every write with ENOSPC.
#[test]
fn a_full_disk_drops_lines_counts_them_and_never_blocks() {
    let log = start("/dev/full".into());
    let mut buffer = log.buffer();
    let begun = Instant::now();
    let written = 100_000;
    for _ in 0..written {
        buffer.write(&record());
    }
    assert!(log.dropped() > 0);
    drop(buffer);
    log.close();
    assert_eq!(log.dropped(), written);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn writing_goes_on_where_it_stopped_once_there_is_room() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink("/dev/full", scratch.log()).unwrap();
    let log = scratch.start();
    let mut buffer = log.buffer();
    buffer.write(&Record { target: b"/held", ..record() });
    buffer.flush();
    thread::sleep(Duration::from_millis(30));
    fs::remove_file(scratch.log()).unwrap();
    log.reopen();
    buffer.write(&Record { target: b"/after", ..record() });
    drop(buffer);
    log.close();
    assert_eq!(fs::read_to_string(scratch.log()).unwrap(), "200 /held\n200 /after\n");
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_line_longer_than_a_buffer_is_written_whole() {
    let scratch = Scratch::new();
    let log = scratch.start();
    let target = vec![b'a'; 200_000];
    let mut buffer = log.buffer();
    for _ in 0..2 {
        buffer.write(&Record { target: &target, ..record() });
        buffer.flush();
    }
    drop(buffer);
    log.close();
    assert_eq!(fs::metadata(scratch.log()).unwrap().len(), 2 * (200_000 + 5));
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let config = config::AccessLog { output: LogOutput::File("/nowhere/access.log".into()), format: LogFormat::Json };
    let error = AccessLog::start(&config).err().unwrap();
    assert!(error.to_string().contains("/nowhere/access.log"), "{error}");
}

/// Starts nginx as it comes, sends it a request as it stands, and returns its `combined` line. `None` without nginx.
fn line_of_nginx(request: &[u8]) -> Option<String> {
    let scratch = Scratch::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = scratch.0.display();
    let config = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log stderr; events {{}} http {{ access_log {dir}/access.log \
         combined; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path \
         {dir}/u; scgi_temp_path {dir}/s; server {{ listen {address}; location / {{ return 200 hello; }} }} }}"
    );
    let config_path = scratch.0.join("nginx.conf");
    fs::write(&config_path, config).unwrap();
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let mut nginx = Command::new("nginx");
    nginx.env("PATH", path).arg("-p").arg(&scratch.0).arg("-c").arg(config_path).stderr(Stdio::null());
    let mut nginx = nginx.spawn().ok()?;
    let mut stream = None;
    eventually(|| {
        stream = TcpStream::connect(address).ok();
        stream.is_some()
    });
    let mut stream = stream.unwrap();
    stream.write_all(request).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let read = || fs::read_to_string(scratch.log()).unwrap_or_default();
    eventually(|| read().ends_with('\n'));
    nginx.kill().unwrap();
    nginx.wait().unwrap();
    Some(read())
}

#[test]
fn combined_is_what_nginx_writes_for_the_same_request() {
    let here = Record { client: Client::Ip("127.0.0.1".parse().unwrap()), bytes_sent: 5, user_agent: None, ..record() };
    let full = Record {
        target: b"/a%20b?x=\"\\\xc3\xa9",
        referer: Some(b"\"r\\\xff"),
        user_agent: Some(b"agent \"x\"\t1"),
        user: Some(b"an\"n"),
        ..here
    };
    let request = |record: &Record<'_>, fields: &[u8]| {
        [b"GET ", record.target, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", fields, b"\r\n"].concat()
    };
    // The credentials are those of `an"n` with the password `x`.
    let fields = b"Referer: \"r\\\xff\r\nUser-Agent: agent \"x\"\t1\r\nAuthorization: Basic YW4ibjp4\r\n";
    let empty = Record { referer: Some(b""), user_agent: Some(b""), ..here };
    for (record, request) in [
        (full, request(&full, fields)),
        (here, request(&here, b"")),
        (empty, request(&empty, b"Referer:\r\nUser-Agent: \r\n")),
    ] {
        let Some(theirs) = line_of_nginx(&request) else {
            eprintln!("nginx is not installed: skipped");
            return;
        };
        let (date, rest) = theirs.split_once('[').unwrap().1.split_once(']').unwrap();
        let time = DateTime::parse_from_str(date, "%d/%b/%Y:%H:%M:%S %z").unwrap();
        assert!(rest.starts_with(" \"GET "), "{theirs}");
        assert_eq!(line(LogFormat::Combined, &Record { time: time.into(), ..record }), theirs);
    }
}
