//! What nginx calls things, for those who write its directive by habit.

/// The key that does what an nginx directive does, if it stands in the table where it was written.
pub(crate) fn hint(directive: &str, known: &[&str]) -> Option<String> {
    let (_, key) = NAMES.iter().find(|(name, key)| *name == directive && known.contains(&root(key)))?;
    Some(format!("nginx's `{directive}` is `{key}` here"))
}

/// `timeouts.connect` → `timeouts`.
fn root(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

/// Directives and the keys that do the same, by directive.
pub(crate) const NAMES: &[(&str, &str)] = &[
    ("access_log", "access_log.output"),
    ("add_header", "response_headers.set"),
    ("client_body_timeout", "http.min_body_rate"),
    ("client_header_timeout", "http.head_timeout"),
    ("client_max_body_size", "max_body_size"),
    ("error_log", "log.level"),
    ("error_page", "reply"),
    ("grpc_pass", "upstream"),
    ("grpc_pass", "protocol"),
    ("http2", "tls.http2"),
    ("ip_hash", "policy"),
    ("keepalive", "idle_connections"),
    ("keepalive_requests", "http.max_requests"),
    ("keepalive_timeout", "http.idle_timeout"),
    ("large_client_header_buffers", "http.max_head_size"),
    ("least_conn", "policy"),
    ("least_time", "policy"),
    ("limit_req", "limit"),
    ("limit_req_status", "status"),
    ("limit_req_zone", "limit"),
    ("listen", "address"),
    ("location", "route"),
    ("log_format", "access_log.format"),
    ("nodelay", "delay"),
    ("proxy_connect_timeout", "timeouts.connect"),
    ("proxy_hide_header", "response_headers.remove"),
    ("proxy_next_upstream", "retry.on"),
    ("proxy_next_upstream_timeout", "retry.timeout"),
    ("proxy_next_upstream_tries", "retry.tries"),
    ("proxy_pass", "upstream"),
    ("proxy_read_timeout", "timeouts.response"),
    ("proxy_send_timeout", "timeouts.between_bytes"),
    ("proxy_set_header", "request_headers.set"),
    ("proxy_ssl_certificate", "tls.certificate.chain"),
    ("proxy_ssl_certificate_key", "tls.certificate.key"),
    ("proxy_ssl_name", "tls.server_name"),
    ("proxy_ssl_protocols", "tls.min_version"),
    ("proxy_ssl_trusted_certificate", "tls.ca"),
    ("proxy_ssl_verify", "tls.verify"),
    ("random", "policy"),
    ("resolver_timeout", "timeout"),
    ("return", "redirect"),
    ("rewrite", "redirect"),
    ("send_timeout", "http.send_timeout"),
    ("server", "endpoints"),
    ("server", "site"),
    ("server_name", "hosts"),
    ("set_real_ip_from", "trusted_proxies"),
    ("so_keepalive", "tcp_keepalive"),
    ("ssl", "tls"),
    ("ssl_certificate", "certificate.chain"),
    ("ssl_certificate_key", "certificate.key"),
    ("ssl_ciphers", "tls.ciphers"),
    ("ssl_client_certificate", "tls.client_auth.ca"),
    ("ssl_crl", "tls.client_auth.crl"),
    ("ssl_prefer_server_ciphers", "tls.cipher_order"),
    ("ssl_protocols", "tls.min_version"),
    ("ssl_session_ticket_key", "ticket_keys"),
    ("ssl_verify_client", "tls.client_auth.required"),
    ("worker_connections", "max_connections"),
    ("worker_processes", "workers"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_translated_only_where_its_key_may_stand() {
        assert_eq!(hint("server_name", &["hosts"]).as_deref(), Some("nginx's `server_name` is `hosts` here"));
        assert_eq!(hint("server_name", &["address"]), None);
    }
}
