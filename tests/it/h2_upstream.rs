//! HTTP/2 towards endpoints: heads, bodies and trailers both ways, and how connections are shared.

use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tempfile::TempDir;

use crate::support::{
    Client, H2Origin, Latch, Nginx, Origin, Setup, Terms, TlsFront, backend_certificate, echo, eventually, get,
    send_all, trailers,
};

fn h2c(origin: &H2Origin) -> Setup {
    Setup::to(&[origin.address()]).top("workers = 1").upstream("protocol = \"h2c\"")
}

#[test]
fn a_request_is_told_as_http_2_has_it() {
    let origin = H2Origin::echo();
    let gate = h2c(&origin).start();
    let request = "PUT /a/b?c=d HTTP/1.1\r\nHost: Test:80\r\nConnection: TE, X-Gone\r\nTE: gzip, trailers\r\nX-Gone: 1\r\n\
                   X-Kept: One\r\nKeep-Alive: 5\r\nCookie: a=1\r\nContent-Length: 2\r\n\r\nhi";
    let response = gate.send(request);
    assert_eq!((response.status, response.text()), (200, "hi".into()));
    let head = origin.last();
    assert_eq!(head.method(), "PUT");
    assert_eq!(head.uri(), "http://test/a/b?c=d");
    let value = |name| head.headers().get(name).map(|value| value.to_str().unwrap());
    for (name, expected) in [
        ("te", Some("trailers")),
        ("x-kept", Some("One")),
        ("content-length", Some("2")),
        ("x-forwarded-proto", Some("http")),
        ("x-real-ip", Some("127.0.0.1")),
        ("cookie", Some("a=1")),
        ("x-gone", None),
        ("keep-alive", None),
        ("connection", None),
        ("host", None),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    assert_eq!(gate.records(1)[0]["attempts"], 1);
    assert!(gate.records(1)[0]["connect"].is_number());
}

#[test]
fn bodies_and_trailers_pass_both_ways_whichever_http_the_client_speaks() {
    let origin = H2Origin::echo();
    let gate = h2c(&origin).listener("h2c = true").upstream("retry.max_replay_size = 0").start();
    let body: Vec<u8> = (0..900_000u32).map(|i| i as u8).collect();
    let mut request = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend(&body);
    assert!(gate.send(request).body == body);
    let chunked =
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n";
    let response = gate.send(chunked);
    assert_eq!((response.text(), &response.trailers[..]), ("abc".into(), &[("x-sum".into(), "3".into())][..]));
    let mut client = gate.h2c();
    let head = || Request::post("http://test/").body(()).unwrap();
    let response = client.send(head(), &body[..60_000], Some(trailers(&[("x-sum", "4")]))).unwrap();
    assert!(response.body == body[..60_000]);
    assert_eq!(response.trailers.unwrap().get("x-sum").unwrap(), "4");
    assert_eq!(client.send(head(), b"", None).unwrap().status, 200);
}

#[test]
fn both_sides_talk_at_once() {
    let origin = H2Origin::echo();
    let gate = h2c(&origin).start();
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = client.try_head("POST").unwrap();
    assert_eq!(head.status, 200);
    for word in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len()));
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        assert_eq!(client.take(chunk.len()).unwrap(), chunk.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.take(5).unwrap(), b"0\r\n\r\n");
}

#[test]
fn head_and_bodiless_responses_have_no_body() {
    let origin = H2Origin::start(&h2::server::Builder::new(), |request, mut respond| async move {
        let status = request.uri().path()[1..].parse().unwrap();
        let response = Response::builder().status::<u16>(status);
        let response = if request.method() == "HEAD" { response.header("content-length", 7) } else { response };
        respond.send_response(response.body(()).unwrap(), true)?;
        Ok(())
    });
    let gate = h2c(&origin).start();
    let mut client = gate.client();
    let response = client.send("HEAD /200 HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD");
    assert_eq!((response.status, response.field("content-length")), (200, Some("7")));
    for status in [204, 304, 200, 404] {
        let response = client.get(&format!("/{status}"));
        assert_eq!((response.status, response.body.len()), (status, 0));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn requests_share_a_connection_up_to_the_bound() {
    let (arrived, door) = (Latch::new(), Latch::new());
    let opened = door.clone();
    let origin = H2Origin::start(&h2::server::Builder::new(), move |request, respond| {
        let (door, arrived) = (opened.clone(), arrived.clone());
        async move {
            arrived.open();
            tokio::task::spawn_blocking(move || door.wait()).await.unwrap();
            echo(request, respond).await
        }
    });
    let gate = h2c(&origin).upstream("http2 = { max_streams = 4 }").start();
    let mut clients: Vec<Client> = (0..8).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    eventually("all are at the origin", || origin.heads().len() == 8);
    assert_eq!(origin.connections(), 2);
    door.open();
    for mut client in clients {
        assert_eq!(client.response("GET").status, 200);
    }
    assert_eq!(gate.metric("tidegate_upstream_connections_total{state=\"opened\"}"), 2.0);
    assert_eq!(gate.metric("tidegate_upstream_connections_total{state=\"reused\"}"), 6.0);
}

#[test]
fn the_endpoint_s_own_bound_on_streams_is_kept() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let door = Latch::new();
    let opened = door.clone();
    let origin = H2Origin::start(&builder, move |request, respond| {
        let door = opened.clone();
        async move {
            tokio::task::spawn_blocking(move || door.wait()).await.unwrap();
            echo(request, respond).await
        }
    });
    let gate = h2c(&origin).start();
    let mut first = gate.client();
    first.send(get("/"));
    eventually("the first is there", || origin.heads().len() == 1);
    let mut clients: Vec<Client> = (0..5).map(|_| gate.client()).collect();
    // One after the other, so that each connection has told its bound when the next request comes.
    for (client, before) in clients.iter_mut().zip(1..) {
        client.send(get("/"));
        eventually("it is at the origin", || origin.heads().len() > before);
    }
    assert!((3..=4).contains(&origin.connections()), "{}", origin.connections());
    door.open();
    clients.push(first);
    for mut client in clients {
        assert_eq!(client.response("GET").status, 200);
    }
}

#[test]
fn a_client_that_leaves_cancels_its_stream_and_no_other() {
    let (canceled, reason) = (Latch::new(), std::sync::Arc::new(std::sync::Mutex::new(None)));
    let (told, noted) = (canceled.clone(), reason.clone());
    let origin = H2Origin::start(&h2::server::Builder::new(), move |request: Request<RecvStream>, respond| {
        let (told, noted) = (told.clone(), noted.clone());
        hang_or_echo(request, respond, told, noted)
    });
    let gate = h2c(&origin).start();
    let mut other = gate.client();
    other.send("POST /other HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\na");
    let mut client = gate.client();
    client.send(get("/hang"));
    eventually("both are there", || origin.heads().len() == 2);
    client.reset();
    assert!(canceled.wait_for(Duration::from_secs(5)));
    assert_eq!(*reason.lock().unwrap(), Some(Reason::CANCEL));
    assert_eq!(other.send("b").response("POST").text(), "ab");
    assert_eq!(origin.connections(), 1);
}

async fn hang_or_echo(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    told: Latch,
    noted: std::sync::Arc<std::sync::Mutex<Option<Reason>>>,
) -> Result<(), h2::Error> {
    if request.uri().path() != "/hang" {
        return echo(request, respond).await;
    }
    let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
    *noted.lock().unwrap() = Some(reason);
    told.open();
    Ok(())
}

#[test]
fn a_slow_client_holds_up_its_endpoint_and_nobody_else() {
    let origin = H2Origin::start(&h2::server::Builder::new(), |request: Request<RecvStream>, mut respond| async move {
        if request.uri().path() == "/small" {
            return echo(request, respond).await;
        }
        let mut send = respond.send_response(Response::new(()), false)?;
        send_all(&mut send, Bytes::from(vec![7; 20 << 20])).await?;
        send.send_data(Bytes::new(), true)
    });
    let gate = h2c(&origin).start();
    let mut slow = gate.client();
    slow.shrink_receive_buffer();
    slow.send(get("/large"));
    assert_eq!(slow.try_head("GET").unwrap().status, 200);
    for _ in 0..3 {
        assert_eq!(gate.get("/small").status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn over_tls_http_2_is_agreed_on_and_an_endpoint_without_it_says_so() {
    let (origin, plain) = (H2Origin::echo(), Origin::named("a"));
    let directory = TempDir::new().unwrap();
    let certificate = backend_certificate(directory.path());
    let tls = format!("protocol = \"h2\"\ntls = {{ ca = {:?} }}", certificate.chain);
    let start = |address| Setup::to(&[address]).top("workers = 1").upstream(&tls).start();

    let both = TlsFront::start(origin.address(), &Terms { alpn: &["http/1.1", "h2"], ..Terms::with(&certificate) });
    let gate = start(both.address());
    assert_eq!(gate.get("/").status, 200);
    assert_eq!(gate.get("/").status, 200);
    assert_eq!(both.only().alpn.as_deref(), Some("h2"));
    assert_eq!(origin.last().uri().scheme_str(), Some("https"));

    for alpn in [&[][..], &["http/1.1"]] {
        let old = TlsFront::start(plain.address(), &Terms { alpn, ..Terms::with(&certificate) });
        let gate = start(old.address());
        assert_eq!((gate.get("/").status, &*gate.logged_reason()), (502, "upstream_no_http2"), "{alpn:?}");
    }
    let nginx = Nginx::start("server { listen {listen}; }");
    let gate = Setup::to(&[nginx.address()]).upstream("protocol = \"h2c\"").start();
    assert_eq!((gate.get("/").status, &*gate.logged_reason()), (502, "upstream_no_http2"));
}

#[test]
fn an_upgrade_is_refused() {
    let origin = H2Origin::echo();
    let gate = h2c(&origin).start();
    let response = gate.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!((response.status, &*gate.logged_reason()), (502, "upstream_no_upgrade"));
    assert_eq!(origin.heads().len(), 0);
}

#[test]
fn idle_connections_and_old_ones_are_given_up() {
    let origin = H2Origin::echo();
    let idle = h2c(&origin).upstream("timeouts.idle = \"100ms\"").start();
    assert_eq!(idle.get("/").status, 200);
    eventually("the idle one is closed", || origin.connections_open() == 0);

    let gate = h2c(&origin).upstream("http2 = { max_lifetime = \"100ms\" }").start();
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\na");
    eventually("the request is there", || origin.heads().len() == 2);
    let before = origin.connections();
    eventually("a new one is opened", || gate.get("/").status == 200 && origin.connections() > before);
    assert_eq!(client.send("b").response("POST").text(), "ab");

    let none = h2c(&origin).upstream("idle_connections = 0").start();
    assert_eq!(none.get("/").status, 200);
    drop(gate);
    eventually("none is kept", || origin.connections_open() == 0);
}

#[test]
fn a_drain_finishes_what_is_in_flight() {
    let origin = H2Origin::echo();
    let gate = h2c(&origin).start();
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\na");
    eventually("the request is there", || origin.heads().len() == 1);
    let down = gate.shutdown(Duration::from_secs(10));
    assert_eq!(client.send("b").response("POST").text(), "ab");
    down.join().unwrap();
}

#[test]
fn nghttpd_serves_in_plain_text_and_over_tls() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("file"), vec![b'x'; 300_000]).unwrap();
    let certificate = backend_certificate(directory.path());
    for tls in [false, true] {
        let server = Nghttpd::start(directory.path(), tls.then_some((&certificate.key, &certificate.chain)));
        let keys = match tls {
            true => format!("protocol = \"h2\"\ntls = {{ ca = {:?} }}", certificate.chain),
            false => "protocol = \"h2c\"".to_owned(),
        };
        let gate = Setup::to(&[server.address]).upstream(&keys).start();
        for _ in 0..3 {
            let response = gate.get("/file");
            assert_eq!((response.status, response.body.len()), (200, 300_000));
        }
        assert_eq!(gate.get("/none").status, 404);
    }
}

struct Nghttpd {
    address: std::net::SocketAddr,
    child: std::process::Child,
}

impl Nghttpd {
    fn start(root: &std::path::Path, tls: Option<(&std::path::PathBuf, &std::path::PathBuf)>) -> Self {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = std::process::Command::new("nghttpd");
        command.args(["--address", "127.0.0.1", "--htdocs"]).arg(root);
        match tls {
            None => drop(command.arg("--no-tls").arg(address.port().to_string())),
            Some((key, chain)) => drop(command.arg(address.port().to_string()).arg(key).arg(chain)),
        }
        let child = command.stdout(std::process::Stdio::null()).spawn();
        let child = child.expect("nghttpd can't be run; `make test` installs it");
        eventually("nghttpd listens", || std::net::TcpStream::connect(address).is_ok());
        Self { address, child }
    }
}

impl Drop for Nghttpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
