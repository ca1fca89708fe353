//! Wrong configurations and what is said about them, word for word.
//!
//! Each file beside this one holds cases: a configuration, then everything that Tidegate says about it. With `UPDATE=1`
//! the answers are written anew, for a reader of the diff to judge.

use std::path::PathBuf;

use super::load::load_str;
use super::machine::Nowhere;

macro_rules! golden {
    ($($test:ident)+) => {
        $(
            #[test]
            fn $test() {
                compare(stringify!($test));
            }
        )+
    };
}

golden! {
    syntax_errors_come_all_at_once
    unknown_keys_are_refused_with_the_nearest
    wrong_types_name_what_is_expected
    wrong_values_say_how_to_write_them
    names_must_be_defined_and_used
    what_is_missing_is_named
    nothing_stands_twice
    tls_listeners_certificates_and_redirects_need_each_other
    a_route_leads_to_exactly_one_place_and_is_reachable
    endpoints_that_never_serve_are_pointed_out
    policies_have_what_they_go_by
    tls_towards_endpoints_is_verified_and_can_work
    sockets_are_what_they_can_be
    sources_of_endpoints_fit_what_they_are_for
    tcp_leads_somewhere_without_a_request
    variables_must_be_set
    certificates_by_acme_need_names_terms_and_a_ca
}

/// Every case of a file must get its answer.
fn compare(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/config/golden").join(format!("{name}.txt"));
    let expected = std::fs::read_to_string(&path).unwrap();
    let mut answered = String::new();
    for case in expected.split(CASE).skip(1) {
        let text = case.split(ANSWER).next().unwrap();
        let complaints = match load_str("t.toml", text, &Nowhere) {
            Ok(loaded) => loaded.warnings,
            Err(errors) => errors,
        };
        assert!(!complaints.is_empty(), "nothing is wrong with:\n{text}");
        answered.push_str(&format!("{CASE}{text}{ANSWER}{complaints}"));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, answered).unwrap();
    } else {
        assert_eq!(answered, expected, "\nif the new answers are better, run this test with UPDATE=1");
    }
}

const CASE: &str = "==== a configuration\n";

const ANSWER: &str = "---- gets this answer\n";
