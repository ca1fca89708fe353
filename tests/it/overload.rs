//! More connections than there is room for.

use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Answer, Binary, Client, Latch, Origin, Setup, eventually, get, scrape, sum_of};

#[test]
fn connections_over_the_cap_are_closed_and_counted() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).top("max_connections = 5").start();
    let mut kept: Vec<Client> = (0..5).map(|_| gate.client()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").status, 200);
    }
    gate.client().assert_closed();
    assert_eq!(gate.metric("tidegate_connections_refused_total{reason=\"over_cap\"}"), 1.0);
    assert!(kept.iter_mut().all(|c| c.get("/").status == 200));
    drop(kept);
    eventually("there is room again", || gate.client().send(get("/")).try_response("GET").is_ok());
}

#[test]
fn a_client_over_its_own_cap_does_not_take_others_places() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).top("max_connections_per_client = 2").start();
    let mut kept: Vec<Client> = (0..2).map(|_| Client::connect_from("127.0.0.8", gate.address())).collect();
    assert!(kept.iter_mut().all(|c| c.get("/").status == 200));
    Client::connect_from("127.0.0.8", gate.address()).assert_closed();
    assert_eq!(Client::connect_from("127.0.0.9", gate.address()).get("/").status, 200);
    assert_eq!(gate.metric("tidegate_connections_refused_total{reason=\"over_client_cap\"}"), 1.0);
}

#[test]
fn exhausted_descriptors_are_survived_without_a_spin() {
    let origin = Origin::named("a");
    let binary = Binary::start_with_descriptors(&Setup::to(&[origin.address()]).top("workers = 1"), 64);
    let address = binary.address();
    let metrics = binary.metrics();
    let crowd: Vec<TcpStream> = (0..100).filter_map(|_| TcpStream::connect(address).ok()).collect();
    eventually("accepting fails or is refused", || {
        let text = scrape_if_possible(metrics);
        text.is_none_or(|t| sum_of(&t, "tidegate_connections_refused_total") > 0.0)
    });
    let before = binary.ticks();
    Latch::new().wait_for(Duration::from_millis(1000));
    let spent = binary.ticks() - before;
    assert!(spent < 30, "{spent} hundredths of a second of processor time in one second");
    drop(crowd);
    eventually("it serves again", || {
        let mut client = Client::connect(address);
        client.send(get("/")).try_response("GET").is_ok_and(|r| r.status == 200)
    });
    assert!(sum_of(&scrape(metrics), "tidegate_connections_refused_total") > 0.0);
}

fn scrape_if_possible(metrics: std::net::SocketAddr) -> Option<String> {
    let mut client = Client::connect(metrics);
    client.send("GET /metrics HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n");
    client.try_response("GET").ok().map(|r| r.text())
}

#[test]
fn a_connection_in_use_is_not_closed_for_a_new_one() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::ok("late").after(&latch));
    let gate = Setup::to(&[origin.address()]).top("max_connections = 1").start();
    let mut client = gate.client();
    client.send(get("/"));
    origin.wait_for_heads(1);
    gate.client().assert_closed();
    latch.open();
    assert_eq!(client.response("GET").text(), "late");
}
