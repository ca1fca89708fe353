use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::http::head::Method;
use crate::reason::Reason;

/// The value of the series written exactly so, e.g. `a_total{b="c"}`.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = String::from_utf8(metrics.render()).unwrap();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn request(route: RouteId, status: u16) -> RequestSample {
    RequestSample {
        route,
        method: Method::Get,
        status,
        duration: Duration::from_millis(3),
        reason: None,
        bytes_in: 10,
        bytes_out: 100,
    }
}

/// One event of every kind.
fn busy() -> Arc<Metrics> {
    let metrics = Metrics::new(2);
    let worker = metrics.worker(0);
    let (route, endpoint) = (metrics.route("a \"quoted\"\nsite", "/"), metrics.endpoint("api", "127.0.0.1:1"));
    let (limit, listener) = (metrics.limit("api"), metrics.listener("[::]:443"));
    worker.connection_opened(listener);
    worker.connection_refused(ConnectionRefusal::OverClientCap);
    worker
        .handshake(HandshakeOutcome::Completed { version: TlsVersion::Tls13, resumed: true }, Duration::from_millis(2));
    worker.handshake(HandshakeOutcome::Failed, Duration::ZERO);
    worker.handshake(HandshakeOutcome::TimedOut, Duration::ZERO);
    worker.request_started();
    worker.limited(limit, Decision::Passed);
    let answered = AttemptOutcome::Answered;
    let some = Some(Duration::from_micros(700));
    worker.attempt(endpoint, AttemptSample { outcome: answered, connect: some, first_byte: some });
    worker.retry(endpoint);
    worker.retry_refused_by_budget(endpoint);
    worker.upstream_connection_opened(endpoint);
    worker.upstream_connection_reused(endpoint);
    worker.request_finished(&RequestSample { reason: Some(Reason::ConnectFailed), ..request(route, 502) });
    worker.panic();
    worker.suspicious_field();
    worker.http2_fault(Http2Fault::Calm);
    metrics.set_certificates(vec![("a".into(), 1_900_000_000)]);
    metrics.set_live(Box::new(|| {
        let sample = |in_flight, ejected| EndpointSample {
            upstream: "api".into(),
            endpoint: "127.0.0.1:1".into(),
            in_flight,
            ejected,
            failures: 2,
            ejections: 1,
        };
        vec![sample(3, false), sample(4, true)]
    }));
    metrics
}

#[test]
fn promtool_finds_nothing_to_say() {
    let text = busy().render();
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("promtool is not installed: skipped");
        return;
    };
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_request_is_counted_under_the_names_that_dashboards_use() {
    let metrics = Metrics::new(1);
    let worker = metrics.worker(0);
    let route = metrics.route("example.com", "/api");
    worker.request_started();
    worker.request_started();
    assert_eq!(value(&metrics, "http_requests_in_flight"), Some(2.0));
    worker.request_finished(&request(route, 200));
    worker.request_finished(&RequestSample { method: Method::Other, ..request(route, 418) });
    let labels = r#"site="example.com",route="/api""#;
    for (series, expected) in [
        (format!(r#"http_requests_total{{{labels},method="GET",status="200"}}"#), 1.0),
        (format!(r#"http_requests_total{{{labels},method="OTHER",status="418"}}"#), 1.0),
        (format!(r#"http_request_duration_seconds_bucket{{{labels},le="0.0025"}}"#), 0.0),
        (format!(r#"http_request_duration_seconds_bucket{{{labels},le="0.005"}}"#), 2.0),
        (format!(r#"http_request_duration_seconds_bucket{{{labels},le="+Inf"}}"#), 2.0),
        (format!(r#"http_request_duration_seconds_sum{{{labels}}}"#), 0.006),
        (format!(r#"http_request_duration_seconds_count{{{labels}}}"#), 2.0),
        (format!(r#"tidegate_received_bytes_total{{{labels}}}"#), 20.0),
        (format!(r#"tidegate_sent_bytes_total{{{labels}}}"#), 200.0),
        ("http_requests_in_flight".into(), 0.0),
    ] {
        assert_eq!(value(&metrics, &series), Some(expected), "{series}");
    }
}

#[test]
fn every_kind_of_event_has_its_series() {
    let metrics = busy();
    for (series, expected) in [
        (r#"tidegate_replies_total{reason="connect_failed"}"#, 1.0),
        (r#"tidegate_replies_total{reason="no_route"}"#, 0.0),
        (r#"tidegate_limit_decisions_total{limit="api",decision="passed"}"#, 1.0),
        (r#"tidegate_upstream_requests_total{upstream="api",endpoint="127.0.0.1:1",outcome="answered"}"#, 1.0),
        (r#"tidegate_upstream_connect_seconds_bucket{upstream="api",endpoint="127.0.0.1:1",le="0.001"}"#, 1.0),
        (r#"tidegate_upstream_response_seconds_count{upstream="api",endpoint="127.0.0.1:1"}"#, 1.0),
        (r#"tidegate_upstream_connections_total{upstream="api",endpoint="127.0.0.1:1",state="opened"}"#, 1.0),
        (r#"tidegate_upstream_connections_total{upstream="api",endpoint="127.0.0.1:1",state="reused"}"#, 1.0),
        (r#"tidegate_retries_total{upstream="api",endpoint="127.0.0.1:1"}"#, 1.0),
        (r#"tidegate_retries_refused_total{upstream="api",endpoint="127.0.0.1:1"}"#, 1.0),
        (r#"tidegate_connections_total{listener="[::]:443"}"#, 1.0),
        (r#"tidegate_connections_open{listener="[::]:443"}"#, 1.0),
        (r#"tidegate_connections_refused_total{reason="over_client_cap"}"#, 1.0),
        (r#"tidegate_tls_handshakes_total{version="TLSv1.3",resumed="true"}"#, 1.0),
        (r#"tidegate_tls_handshakes_total{version="TLSv1.2",resumed="false"}"#, 0.0),
        (r#"tidegate_tls_handshake_failures_total{reason="failed"}"#, 1.0),
        (r#"tidegate_tls_handshake_failures_total{reason="timed_out"}"#, 1.0),
        ("tidegate_tls_handshake_seconds_count", 1.0),
        (r#"tidegate_http2_faults_total{error="enhance_your_calm"}"#, 1.0),
        (r#"tidegate_http2_faults_total{error="protocol_error"}"#, 0.0),
        ("tidegate_panics_total", 1.0),
        ("tidegate_suspicious_fields_total", 1.0),
        (r#"tidegate_worker_requests_total{worker="0"}"#, 1.0),
        (r#"tidegate_certificate_not_after_timestamp_seconds{name="a"}"#, 1_900_000_000.0),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
}

#[test]
fn samples_of_an_address_named_twice_become_one_series() {
    let metrics = busy();
    let labels = r#"{upstream="api",endpoint="127.0.0.1:1"}"#;
    let of = |name: &str| value(&metrics, &format!("tidegate_endpoint_{name}{labels}"));
    assert_eq!(
        (of("in_flight"), of("ejected"), of("failures_total"), of("ejections_total")),
        (Some(7.0), Some(1.0), Some(4.0), Some(2.0))
    );
}

#[test]
fn workers_are_added_up_and_a_restarted_one_goes_on() {
    let metrics = Metrics::new(2);
    let route = metrics.route("a", "/");
    for index in [0, 1, 1] {
        let worker = metrics.worker(index);
        worker.request_started();
        worker.request_finished(&request(route, 200));
    }
    assert_eq!(value(&metrics, r#"http_requests_total{site="a",route="/",method="GET",status="200"}"#), Some(3.0));
    assert_eq!(value(&metrics, r#"tidegate_worker_requests_total{worker="1"}"#), Some(2.0));
}

#[test]
fn routes_past_the_bound_are_counted_together() {
    let metrics = Metrics::new(1);
    let worker = metrics.worker(0);
    for i in 0..20_010 {
        worker.request_finished(&request(metrics.route("a", &format!("/{i}")), 200));
    }
    let other = r#"http_requests_total{site="other",route="other",method="GET",status="200"}"#;
    assert_eq!(value(&metrics, other), Some(12.0));
}

#[test]
fn a_failed_reload_keeps_the_time_of_the_last_good_one() {
    let metrics = Metrics::new(1);
    metrics.reload_succeeded();
    let loaded = value(&metrics, "tidegate_config_last_load_timestamp_seconds");
    metrics.reload_failed();
    assert_eq!(value(&metrics, "tidegate_config_last_load_timestamp_seconds"), loaded);
    assert_eq!(value(&metrics, "tidegate_config_last_reload_successful"), Some(0.0));
    assert_eq!(value(&metrics, r#"tidegate_config_reloads_total{result="failed"}"#), Some(1.0));
    assert_eq!(value(&metrics, r#"tidegate_config_reloads_total{result="succeeded"}"#), Some(1.0));
}

#[test]
fn methods_are_listed_in_the_order_of_their_cells() {
    let metrics = Metrics::new(1);
    let worker = metrics.worker(0);
    let route = metrics.route("a", "/");
    let methods: [&[u8]; Method::COUNT] =
        [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"LOCK", b"OTHER"];
    for (n, method) in (1..).zip(methods) {
        for _ in 0..n {
            worker.request_finished(&RequestSample { method: Method::of(method), ..request(route, 200) });
        }
    }
    for (n, method) in (1..).zip(methods) {
        let method = String::from_utf8_lossy(method);
        let series = format!(r#"http_requests_total{{site="a",route="/",method="{method}",status="200"}}"#);
        assert_eq!(value(&metrics, &series), Some(f64::from(n)), "{series}");
    }
}

#[test]
fn the_process_tells_its_memory_and_its_cpu_time_in_fractions() {
    let metrics = Metrics::new(1);
    assert!(value(&metrics, "process_resident_memory_bytes").unwrap() > 0.0);
    assert!(value(&metrics, "process_cpu_seconds_total").unwrap() > 0.0);
}
