//! All request stages in a row, and the head that goes to the endpoint: a whole request but for its I/O.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use divan::{Bencher, black_box};
use tidegate::config::Config;
use tidegate::config::load::load_str;
use tidegate::config::machine::Nowhere;
use tidegate::http::address::Peer;
use tidegate::http::http1::BodyLength;
use tidegate::metrics::Metrics;
use tidegate::proxy::context::{ConnectionFacts, RequestContext};
use tidegate::proxy::headers::encode_request;
use tidegate::proxy::local::{ListenerSeat, Local};
use tidegate::proxy::stages::admit;
use tidegate::snapshot::Snapshot;

use crate::head::{SMALL_REQUEST, request};

/// The guide's features: a limit, security headers, two endpoints by least connections.
pub(crate) fn config() -> Config {
    load_str("budget/tidegate.toml", include_str!("../budget/tidegate.toml"), &Nowhere)
        .unwrap_or_else(|e| panic!("{e}"))
        .config
}

#[divan::bench]
fn admit_encode_record(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::new(1);
    let snapshot = Arc::new(Snapshot::build(Arc::new(config()), None, &metrics).unwrap());
    let endpoint = snapshot.upstreams[0].endpoints()[0].clone();
    let local = Local::new(snapshot, metrics.worker(0), Arc::clone(&metrics), None, Instant::now());
    let seat = ListenerSeat { index: Cell::new(Some(0)), metric: metrics.listener("127.0.0.1:80") };
    let peer = Peer::Ip("192.0.2.7:40000".parse().unwrap());
    let connection = Rc::new(ConnectionFacts { peer, destination: None, seat: Rc::new(seat), tls: None });
    let mut out = Vec::with_capacity(4096);
    bencher.with_inputs(|| request(SMALL_REQUEST)).bench_local_values(|head| {
        out.clear();
        let mut cx = RequestContext::new(&local, &connection, 0, head, tokio::time::Instant::now());
        assert!(admit(black_box(&mut cx)).is_ok());
        encode_request(&cx, &endpoint, BodyLength::Known(0), false, &mut out);
        cx.status = 200;
        cx.completed = true;
    });
}
