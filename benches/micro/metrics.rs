//! Counting one request.

use std::time::Duration;

use divan::{Bencher, black_box};
use tidegate::http::head::Method;
use tidegate::metrics::{AttemptOutcome, AttemptSample, Metrics, RequestSample};

#[divan::bench]
fn record_request_and_attempt(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::new(1);
    let worker = metrics.worker(0);
    let sample = RequestSample {
        route: metrics.route("site", "/"),
        method: Method::Get,
        status: 200,
        duration: Duration::from_micros(700),
        reason: None,
        bytes_in: 120,
        bytes_out: 400,
    };
    let endpoint = metrics.endpoint("backend", "127.0.0.1:9001");
    let first_byte = Some(Duration::from_micros(600));
    bencher.bench_local(|| {
        worker.request_started();
        worker.attempt(endpoint, AttemptSample { outcome: AttemptOutcome::Answered, connect: None, first_byte });
        worker.request_finished(black_box(&sample));
    });
}
