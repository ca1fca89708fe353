//! One line of the access log, in each form. The buffers go to a writer that throws them away.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use divan::{Bencher, black_box};
use tidegate::access_log::{AccessLog, Record};
use tidegate::config::{self, LogFormat, LogOutput};
use tidegate::http::address::{Client, Peer};
use tidegate::http::head::Version;

#[divan::bench(args = ["combined", "json", "template"])]
fn line(bencher: Bencher<'_, '_>, form: &str) {
    let format = match form {
        "combined" => LogFormat::Combined,
        "json" => LogFormat::Json,
        _ => LogFormat::Template("{client} {method} {target} {status} {duration} {endpoint}".into()),
    };
    let log = AccessLog::start(&config::AccessLog { output: LogOutput::File("/dev/null".into()), format }).unwrap();
    let mut buffer = log.buffer();
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 40000));
    let record = Record {
        time: SystemTime::now(),
        client: Client::Ip(peer.ip()),
        peer: Peer::Ip(peer),
        method: b"GET",
        target: b"/service/42/items?page=2",
        version: Some(Version::Http11),
        host: b"example.com",
        status: 200,
        bytes_sent: 128,
        bytes_received: 120,
        referer: Some(b"https://example.com/"),
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"),
        user: None,
        duration: Duration::from_micros(700),
        site: "example.com",
        route: "/",
        upstream: Some("backend"),
        endpoint: Some("127.0.0.1:9001"),
        retried: &[],
        attempts: 1,
        connect: None,
        first_byte: Some(Duration::from_micros(600)),
        reason: None,
        request_id: b"0123456789abcdef0123456789abcdef",
        tls: None,
    };
    bencher.bench_local(|| buffer.write(black_box(&record)));
}
