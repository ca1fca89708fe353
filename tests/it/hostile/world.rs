//! What can't be told in a burst of bytes: the tests that hold it, by name.

/// A section of `docs/security.md`.
pub struct Section {
    pub title: &'static str,
    pub about: &'static str,
    pub rows: Vec<Told>,
}

pub struct Told {
    pub case: &'static str,
    pub does: &'static str,
    /// `FILE::NAME`.
    pub tests: &'static [&'static str],
}

pub fn told() -> [Section; 5] {
    [
        Section {
            title: "Who the client is",
            about: "What a client says about itself is never believed.",
            rows: identity(),
        },
        Section {
            title: "HTTP/2 over time",
            about: "What a connection of HTTP/2 may hold, and for how long.",
            rows: http2(),
        },
        Section {
            title: "Slow and silent clients",
            about: "Beside the drips of [Time](#time): who takes nothing, says nothing, or half closes.",
            rows: slow(),
        },
        Section { title: "TLS, and who is let in", about: "Beside the bytes of [TLS](#tls).", rows: tls() },
        Section {
            title: "Resources and the world",
            about: "What isn't in a message: descriptors, memory, disks, names, endpoints, signals.",
            rows: world(),
        },
    ]
}

fn row(case: &'static str, does: &'static str, tests: &'static [&'static str]) -> Told {
    Told { case, does, tests }
}

fn identity() -> Vec<Told> {
    vec![
        row(
            "X-Forwarded-For, X-Real-IP, Forwarded and their like from anybody",
            "replaced; X-Forwarded-For is appended to",
            &["tests/it/client_address.rs::an_untrusted_peer_is_the_client_whatever_it_says"],
        ),
        row(
            "the same through a trusted proxy",
            "read from the right, up to the first that isn't trusted",
            &["tests/it/client_address.rs::a_trusted_proxys_word_counts_read_from_the_right"],
        ),
        row(
            "a limit escaped by a forged field",
            "counted by the peer's address",
            &["tests/it/limits.rs::an_untrusted_client_cannot_escape_by_a_forged_field"],
        ),
        row(
            "`X_Forwarded_For` beside X-Forwarded-For",
            "dropped, and counted in `tidegate_suspicious_fields_total`",
            &["tests/it/client_address.rs::names_that_pass_for_other_names_are_dropped_and_counted"],
        ),
        row(
            "the same in trailers",
            "dropped",
            &["tests/it/bodies_and_trailers.rs::trailers_never_speak_for_the_proxy"],
        ),
        row(
            "the subject of a certificate that the client doesn't have",
            "replaced",
            &["tests/it/client_auth.rs::the_upstream_is_told_the_subject_and_no_client_can_say_it_itself"],
        ),
        row(
            "a PROXY header from somebody who may send none, a malformed one, or none",
            "closed, and counted in `tidegate_connections_refused_total`",
            &[
                "tests/it/proxy_protocol.rs::nobody_but_the_named_may_send_one",
                "tests/it/proxy_protocol.rs::a_connection_that_doesnt_begin_with_one_is_closed_and_counted",
                "tests/it/proxy_protocol.rs::a_header_that_doesnt_come_to_its_end_is_not_waited_for",
            ],
        ),
        row(
            "an offer of h2c in an Upgrade, which would let a client speak past routing",
            "not passed on",
            &["tests/it/upgrade_websocket.rs::an_offer_of_h2c_is_not_passed_on"],
        ),
        row(
            "a path that another reading leads to another route",
            "400 `bad_path`",
            &["src/route/tests.rs::an_encoded_separator_or_parameter_never_changes_the_route"],
        ),
    ]
}

fn http2() -> Vec<Told> {
    vec![
        row("a wrong preface", "closed", &["tests/it/h2_hostile.rs::a_wrong_preface_is_no_hang"]),
        row(
            "resets without end (CVE-2023-44487)",
            "GOAWAY after 200 in ten seconds; no endpoint sees more",
            &["tests/it/h2_hostile.rs::rapid_reset_is_calmed"],
        ),
        row(
            "resets provoked without end (CVE-2025-8671)",
            "GOAWAY after 100 in ten seconds; no endpoint sees more",
            &["tests/it/h2_hostile.rs::made_you_reset_is_calmed"],
        ),
        row(
            "CONTINUATION without end (CVE-2024-27316)",
            "GOAWAY as soon as the section is longer than a head may be",
            &["tests/it/h2_hostile.rs::a_continuation_flood_is_ended"],
        ),
        row(
            "control frames without end, their answers unread",
            "nothing more is taken until the client reads; then GOAWAY",
            &["tests/it/h2_hostile.rs::floods_of_control_frames_are_told_to_calm_down"],
        ),
        row(
            "a header section that is never ended, a preface without SETTINGS",
            "ended by `http.head_timeout`",
            &["tests/it/h2_hostile.rs::a_header_section_that_does_not_come_is_ended_by_the_heads_deadline"],
        ),
        row("an HPACK bomb", "431, or the stream's error", &["tests/it/h2_hostile.rs::an_hpack_bomb_is_refused"]),
        row(
            "a header list over its bound",
            "431; the connection goes on",
            &["tests/it/h2_hostile.rs::a_header_list_over_the_bound_is_431_or_a_stream_error_and_the_connection_lives"],
        ),
        row(
            "streams over `http.max_streams`",
            "RST_STREAM REFUSED_STREAM",
            &["tests/it/h2_hostile.rs::streams_over_the_bound_are_refused"],
        ),
        row(
            "a window that is never opened",
            "the stream is reset after `http.send_timeout`",
            &["tests/it/h2_hostile.rs::a_client_that_opens_no_window_is_cut_off"],
        ),
        row(
            "responses that are asked for and not read",
            "closed after `http.send_timeout`, the endpoints let go",
            &["tests/it/h2_hostile.rs::a_client_that_reads_nothing_is_cut_off"],
        ),
        row(
            "everything that takes memory, at once",
            "256 KiB a connection and 64 KiB a request in flight, as `tidegate check` counts them",
            &["tests/it/h2_hostile.rs::a_connection_holds_no_more_memory_than_the_check_says"],
        ),
        row(
            "an endpoint that breaks the rules of HTTP/2",
            "502 `bad_upstream_head`, the connection is dropped",
            &["tests/it/h2_upstream_faults.rs::garbage_and_broken_rules_are_bad_heads"],
        ),
    ]
}

fn slow() -> Vec<Told> {
    vec![
        row(
            "a client that takes nothing of its response",
            "`send_timed_out`: cut off after `http.send_timeout`, the endpoint let go",
            &["tests/it/deadlines.rs::a_client_that_takes_nothing_is_cut_off"],
        ),
        row(
            "a connection that says nothing, or nothing more",
            "closed after `http.head_timeout`, and `http.idle_timeout` between requests",
            &[
                "tests/it/deadlines.rs::a_connection_that_says_nothing_is_closed_without_a_word",
                "tests/it/deadlines.rs::an_idle_connection_is_closed_after_its_time",
            ],
        ),
        row(
            "a body slower than `http.min_body_rate`",
            "408 `body_timed_out`; a slow one above it may take longer than any deadline",
            &[
                "tests/it/deadlines.rs::a_body_slower_than_its_minimum_rate_gets_408",
                "tests/it/deadlines.rs::a_body_fast_enough_may_take_longer_than_the_grace",
            ],
        ),
        row(
            "a client that half closes behind its request",
            "answered",
            &["tests/it/keep_alive_pipelining.rs::a_client_that_half_closes_still_gets_its_answer"],
        ),
        row(
            "200 slow heads at once",
            "others are served meanwhile",
            &["tests/it/deadlines.rs::slow_connections_do_not_keep_others_from_being_served"],
        ),
        row(
            "an endpoint that drips its head",
            "504 `upstream_timed_out`: the deadline is in total",
            &["tests/it/http1_responses.rs::a_head_that_drips_is_504_after_its_total_time"],
        ),
        row(
            "a body refused, and sent all the same",
            "read and dropped within a bound, or the connection closed; never taken for a request",
            &[
                "tests/it/keep_alive_pipelining.rs::a_refused_body_that_is_small_is_drained_or_the_connection_closed",
                "tests/it/http1_responses.rs::an_early_response_is_forwarded_while_the_body_is_still_being_sent",
            ],
        ),
    ]
}

fn tls() -> Vec<Told> {
    vec![
        row(
            "a handshake that stalls",
            "closed after `tls.handshake_timeout`, counted as `timed_out`",
            &["tests/it/tls.rs::a_handshake_that_stalls_is_ended"],
        ),
        row(
            "renegotiation, asked for by a client of TLS 1.2",
            "refused",
            &["tests/it/hostile/tls.rs::renegotiation_is_refused"],
        ),
        row(
            "a name without a site",
            "the default site's certificate; an alert with `strict_sni`",
            &[
                "tests/it/tls.rs::a_name_without_a_certificate_gets_the_default_sites",
                "tests/it/tls.rs::with_strict_sni_it_gets_an_alert",
            ],
        ),
        row(
            "a Host of another certificate than the handshake's name",
            "421 `misdirected`",
            &["tests/it/tls.rs::a_host_of_another_certificate_is_421"],
        ),
        row(
            "no certificate of the client, an expired one, one of another CA, a revoked one",
            "an alert, counted as `client_auth`",
            &[
                "tests/it/client_auth.rs::only_clients_with_a_certificate_of_the_authority_are_let_in",
                "tests/it/client_auth.rs::what_the_authority_has_revoked_is_refused",
            ],
        ),
        row(
            "a ticket of a listener that believes other CA",
            "a full handshake",
            &["tests/it/client_auth.rs::a_ticket_is_good_only_where_the_same_ca_are_believed"],
        ),
    ]
}

fn world() -> Vec<Told> {
    vec![
        row(
            "descriptors run out",
            "accepting pauses without a spin, and goes on; no endpoint is ejected for it",
            &[
                "tests/it/overload.rs::exhausted_descriptors_are_survived_without_a_spin",
                "tests/it/shortage.rs::endpoints_are_not_ejected_for_want_of_descriptors",
            ],
        ),
        row(
            "connections over `max_connections`, or `max_connections_per_client`",
            "closed, and counted in `tidegate_connections_refused_total`",
            &[
                "tests/it/overload.rs::connections_over_the_cap_are_closed_and_counted",
                "tests/it/overload.rs::a_client_over_its_own_cap_does_not_take_others_places",
            ],
        ),
        row(
            "a million keys of a limiter, and one more",
            "memory as `tidegate check` says; the oldest go",
            &[
                "tests/it/memory.rs::a_million_limiter_keys_take_what_the_check_says",
                "tests/it/limits.rs::a_full_store_forgets_the_oldest_and_goes_on",
            ],
        ),
        row(
            "an IPv6 client that changes its address",
            "counted by its /64",
            &["src/filter/limit/tests.rs::an_ipv6_client_is_its_64_and_a_mapped_one_its_ipv4"],
        ),
        row(
            "the log's disk is full",
            "requests go on; lines dropped are counted in `tidegate_access_log_dropped_lines_total`",
            &["src/access_log/tests.rs::a_full_disk_drops_lines_counts_them_and_never_blocks"],
        ),
        row(
            "DNS fails, or the name isn't there",
            "the last good answer stays; a start waits for none",
            &[
                "tests/it/discovery_dns.rs::the_last_good_answer_stays_whatever_goes_wrong",
                "tests/it/discovery_dns.rs::a_name_that_does_not_exist_at_the_start_is_found_later",
            ],
        ),
        row(
            "an endpoint that fails",
            "ejected, up to the floor; retries within a budget",
            &[
                "tests/it/ejection.rs::the_floor_keeps_half_of_the_endpoints_whatever_they_do",
                "tests/it/retries.rs::the_budget_keeps_retries_from_multiplying_an_outage",
            ],
        ),
        row(
            "all endpoints fail",
            "502 `no_endpoint` at once; one request at a time probes",
            &[
                "tests/it/ejection.rs::without_the_floor_all_may_be_ejected",
                "tests/it/ejection.rs::only_one_request_probes_an_endpoint_whose_time_is_over",
            ],
        ),
        row(
            "a panic in a request",
            "that request only; what it held is given back, and it is counted",
            &["src/proxy/tests.rs::a_panic_ends_its_own_request_and_gives_the_endpoint_back"],
        ),
        row(
            "TERM under load, TERM twice, INT",
            "what is in flight is finished; at once; at once",
            &[
                "tests/it/life.rs::term_and_quit_finish_what_is_in_flight_and_exit_with_0",
                "tests/it/life.rs::a_second_signal_ends_at_once",
                "tests/it/life.rs::int_does_not_wait",
            ],
        ),
        row(
            "a port in use, a bad configuration, a certificate that can't be read",
            "told in a line, exit code 78",
            &[
                "tests/it/life.rs::a_port_in_use_is_one_clear_line_and_78",
                "tests/it/life.rs::a_bad_configuration_is_78_and_tells_every_error",
                "tests/it/life.rs::a_certificate_that_cannot_be_read_is_told_with_its_path",
            ],
        ),
    ]
}
