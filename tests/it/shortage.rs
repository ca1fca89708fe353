//! What must not count against endpoints or their clients: connections that went stale, descriptors that ran out,
//! clients that say nothing while the process drains.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Answer, Binary, Client, Origin, Setup, eventually, get};

#[test]
fn stale_connections_cost_no_retry_budget() {
    let origin = Origin::answering(Answer::ok("a").hear().close());
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    for _ in 0..30 {
        assert_eq!(gate.get("/").status, 200);
    }
    assert!(origin.connections_opened() > 20, "connections were reused and found stale");
}

#[test]
fn an_endpoint_that_only_closed_idle_connections_is_tried_once_more_if_no_other_is_left() {
    let closing = || Origin::answering(Answer::ok("a").hear().close());
    let (a, b) = (closing(), closing());
    // With one failure each they are ejected, but for the floor.
    let upstream = "max_fails = 1\nfail_timeout = \"1h\"";
    let gate = Setup::to(&[a.address(), b.address()]).upstream(upstream).top("workers = 1").start();
    for _ in 0..10 {
        assert_eq!(gate.get("/").status, 200);
    }
}

#[test]
fn endpoints_are_not_ejected_for_want_of_descriptors() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let upstream = "idle_connections = 0\nmin_available = 0\nfail_timeout = \"1h\"";
    let setup = Setup::to(&[a.address(), b.address()]).upstream(upstream).top("workers = 1");
    let binary = Binary::start_with_descriptors(&setup, 64);
    let mut crowd: Vec<_> = (0..80).map(|_| binary.client()).collect();
    eventually("nothing is left for a connection upstream", || crowd[0].get("/").status == 502);
    drop(crowd);
    eventually("it serves again", || {
        Client::connect(binary.address()).send(get("/")).try_response("GET").is_ok_and(|r| r.status == 200)
    });
    assert!(!binary.stderr().contains("ejected"), "{}", binary.stderr());
}

#[test]
fn clients_that_have_said_nothing_do_not_hold_up_a_drain() {
    let origin = Origin::named("a");
    let (tls, _certificate) = Setup::to(&[origin.address()]).start_tls();
    let h2c = Setup::to(&[origin.address()]).listener("h2c = true").start();
    for gate in [tls, h2c] {
        let _silent = TcpStream::connect(gate.address()).unwrap();
        eventually("it is accepted", || gate.metric("tidegate_connections_open") > 0.0);
        let since = Instant::now();
        gate.shutdown(Duration::from_secs(30)).join().unwrap();
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    }
}
