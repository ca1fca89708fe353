//! Every metric's name, labels and meaning.
//!
//! `http_…` are unprefixed, because dashboards and alerts name them so; everything else starts with `tidegate_`.

use prometheus::proto::MetricType;

/// What a metric is, before it has a value.
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: MetricType,
    pub(super) labels: &'static [&'static str],
}

macro_rules! metrics {
    ($($kind:ident $id:ident = $name:literal $labels:tt $help:literal;)+) => {
        $(pub(super) const $id: Spec =
            Spec { name: $name, help: $help, kind: MetricType::$kind, labels: &$labels };)+
    };
}

metrics! {
    COUNTER REQUESTS = "http_requests_total" ["site", "route", "method", "status"]
        "Requests answered. A status without a number of its own is counted by class, an unknown method as OTHER.";
    HISTOGRAM REQUEST_TIMES = "http_request_duration_seconds" ["site", "route"]
        "From the first byte of a request to the last of its response.";
    GAUGE REQUESTS_IN_FLIGHT = "http_requests_in_flight" []
        "Requests that are being served.";

    COUNTER BYTES_RECEIVED = "tidegate_received_bytes_total" ["site", "route"]
        "Bytes of requests, heads and bodies.";
    COUNTER BYTES_SENT = "tidegate_sent_bytes_total" ["site", "route"]
        "Bytes of responses, heads and bodies.";
    COUNTER REPLIES = "tidegate_replies_total" ["reason"]
        "Responses that Tidegate made itself or cut short, by reason.";
    COUNTER LIMITED = "tidegate_limit_decisions_total" ["limit", "decision"]
        "Requests that a rate limit looked at: passed, delayed, refused, or let through by a dry run.";

    COUNTER ATTEMPTS = "tidegate_upstream_requests_total" ["upstream", "endpoint", "outcome"]
        "Attempts at an endpoint, by how they ended.";
    HISTOGRAM CONNECT_TIMES = "tidegate_upstream_connect_seconds" ["upstream", "endpoint"]
        "Time to open a connection to an endpoint.";
    HISTOGRAM RESPONSE_TIMES = "tidegate_upstream_response_seconds" ["upstream", "endpoint"]
        "From the request sent to the first byte of the endpoint's response.";
    COUNTER UPSTREAM_CONNECTIONS = "tidegate_upstream_connections_total" ["upstream", "endpoint", "state"]
        "Attempts by the connection they used: opened for them, or reused from the pool.";
    COUNTER UPSTREAM_HANDSHAKES = "tidegate_upstream_tls_handshakes_total" ["upstream", "endpoint", "outcome"]
        "TLS handshakes with endpoints, by how they ended.";
    HISTOGRAM UPSTREAM_HANDSHAKE_TIMES = "tidegate_upstream_tls_handshake_seconds" ["upstream", "endpoint"]
        "From the TCP connection to an endpoint to the end of a completed TLS handshake.";
    COUNTER RETRIES = "tidegate_retries_total" ["upstream", "endpoint"]
        "Retries, by the endpoint whose failure led to them.";
    COUNTER RETRIES_REFUSED = "tidegate_retries_refused_total" ["upstream", "endpoint"]
        "Retries that the retry budget refused, by the endpoint that had failed.";
    GAUGE ENDPOINT_IN_FLIGHT = "tidegate_endpoint_in_flight" ["upstream", "endpoint"]
        "Attempts that are now at an endpoint.";
    GAUGE ENDPOINT_EJECTED = "tidegate_endpoint_ejected" ["upstream", "endpoint"]
        "1 while an endpoint is ejected for its failures.";
    COUNTER ENDPOINT_FAILURES = "tidegate_endpoint_failures_total" ["upstream", "endpoint"]
        "Failures that counted towards ejection.";
    COUNTER ENDPOINT_EJECTIONS = "tidegate_endpoint_ejections_total" ["upstream", "endpoint"]
        "Times that an endpoint was ejected.";

    GAUGE DISCOVERED = "tidegate_discovery_endpoints" ["source"]
        "Endpoints that a source last found.";
    COUNTER DISCOVERY_CHANGES = "tidegate_discovery_changes_total" ["source"]
        "Times that a source found other endpoints than before.";
    COUNTER DISCOVERY_FAILURES = "tidegate_discovery_failures_total" ["source"]
        "Times that a source found nothing, or not all, so that the last endpoints stayed in use.";
    GAUGE DISCOVERY_FAILING = "tidegate_discovery_failing" ["source"]
        "1 while a source finds nothing, or not all.";
    GAUGE DISCOVERY_SUCCESS = "tidegate_discovery_last_success_timestamp_seconds" ["source"]
        "When a source last found its endpoints, in seconds since 1970; 0 is never.";

    COUNTER CONNECTIONS = "tidegate_connections_total" ["listener"]
        "Downstream connections accepted.";
    GAUGE CONNECTIONS_OPEN = "tidegate_connections_open" ["listener"]
        "Downstream connections that are open.";
    COUNTER CONNECTIONS_REFUSED = "tidegate_connections_refused_total" ["reason"]
        "Downstream connections that were not served.";
    COUNTER HTTP2_FAULTS = "tidegate_http2_faults_total" ["error"]
        "HTTP/2 connections of clients that were ended for an error of theirs.";
    COUNTER TCP_CONNECTIONS = "tidegate_tcp_connections_total" ["upstream", "reason"]
        "TCP connections that are over, by why they ended; `-` if both sides had ended.";
    HISTOGRAM TCP_TIMES = "tidegate_tcp_connection_seconds" ["upstream"]
        "From accept to the end of a TCP connection.";
    COUNTER TCP_RECEIVED = "tidegate_tcp_received_bytes_total" ["upstream"]
        "Bytes of TCP connections from their clients.";
    COUNTER TCP_SENT = "tidegate_tcp_sent_bytes_total" ["upstream"]
        "Bytes of TCP connections to their clients.";

    COUNTER HANDSHAKES = "tidegate_tls_handshakes_total" ["version", "resumed"]
        "TLS handshakes completed.";
    COUNTER HANDSHAKES_FAILED = "tidegate_tls_handshake_failures_total" ["reason"]
        "TLS handshakes that did not complete.";
    HISTOGRAM HANDSHAKE_TIMES = "tidegate_tls_handshake_seconds" []
        "From accept to the end of a completed TLS handshake.";
    GAUGE CERTIFICATES = "tidegate_certificate_not_after_timestamp_seconds" ["name"]
        "When a certificate expires, in seconds since 1970; of several under one name, the first to expire.";

    GAUGE ACME_CERTIFICATES = "tidegate_acme_certificates" ["name", "state"]
        "Certificates that Tidegate gets by itself, by site and by how they stand.";
    GAUGE ACME_NEXT = "tidegate_acme_next_attempt_timestamp_seconds" ["name"]
        "When something is next tried for a site's certificate, in seconds since 1970.";
    COUNTER ACME_ATTEMPTS = "tidegate_acme_attempts_total" ["name", "outcome"]
        "Attempts to get a certificate, at one CA each, by how they ended.";
    COUNTER ACME_STORE_ERRORS = "tidegate_acme_store_errors_total" []
        "How often the store of these certificates couldn't be read or written.";

    COUNTER RELOADS = "tidegate_config_reloads_total" ["result"]
        "Reloads of the configuration.";
    GAUGE RELOAD_SUCCEEDED = "tidegate_config_last_reload_successful"  []
        "1 if the last reload succeeded, 0 if the configuration before it is still in force.";
    GAUGE CONFIG_LOADED = "tidegate_config_last_load_timestamp_seconds" []
        "When the configuration in force was loaded, in seconds since 1970.";
    COUNTER LOG_LINES_DROPPED = "tidegate_access_log_dropped_lines_total" []
        "Access log lines dropped because the log could not be written fast enough.";
    COUNTER SUSPICIOUS_FIELDS = "tidegate_suspicious_fields_total" []
        "Request fields dropped because their name could pass for another's.";
    COUNTER PANICS = "tidegate_panics_total" []
        "Requests that ended in a panic.";
    COUNTER WORKER_REQUESTS = "tidegate_worker_requests_total" ["worker"]
        "Requests begun, by worker.";
    GAUGE BUILD = "tidegate_build_info" ["version", "commit", "rustc"]
        "Always 1; the labels tell the build.";
}
