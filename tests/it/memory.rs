//! What the configuration says of memory holds.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use tidegate::config::load::load_str;
use tidegate::config::machine::Nowhere;
use tidegate::config::worst_case_memory;
use tidegate::filter::limit::{LimitInput, Limiter, Verdict, take};
use tidegate::http::address::Client;
use tidegate::http::head::Fields;

use crate::support::run;

/// Set in the process that [`a_million_limiter_keys_take_what_the_check_says`] starts to be alone in it.
const ALONE: &str = "TIDEGATE_TEST_ALONE";

/// What a test's own bookkeeping may take beside, in bytes.
const BESIDE: u64 = 1 << 20;

#[test]
fn a_million_limiter_keys_take_what_the_check_says() {
    if env::var_os(ALONE).is_some() {
        return fill_a_limiter();
    }
    // The memory of this process is that of all the tests that run in it.
    let name = "memory::a_million_limiter_keys_take_what_the_check_says";
    let program = env::current_exe().unwrap();
    let ran = run(program.to_str().unwrap(), |c| c.args(["--exact", name, "--nocapture"]).env(ALONE, "1"));
    assert!(ran.success && ran.stdout.contains("1 passed"), "{ran:?}");
}

fn fill_a_limiter() {
    const KEYS: u32 = 1_000_000;
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nhosts = [\"a\"]\n\
         [[site.route]]\npath = \"/\"\nupstream = \"u\"\nlimit = \"l\"\n[upstream.u]\nendpoints = [\"127.0.0.1:1\"]\n\
         [limit.l]\nkey = \"client_ip\"\nrate = \"1/h\"\nmax_keys = {KEYS}\n"
    );
    let config = load_str("test.toml", &toml, &Nowhere).unwrap_or_else(|e| panic!("{e}")).config;
    let shares = worst_case_memory(&config).shares;
    let said = shares.iter().find(|share| share.what.starts_with("limit l:")).unwrap().bytes;

    let before = resident();
    let limits = [Arc::new(Limiter::new(&config.limits[0]))];
    let size = limits[0].bytes() as u64;
    assert!(size <= said + 128, "{size} bytes, {said} said");
    // More than it holds: the quiet make room.
    for key in 0..KEYS + KEYS / 8 {
        let client = Client::Ip(Ipv4Addr::from_bits(key).into());
        let input = LimitInput { client, site: "a", fields: &Fields::default(), now: Duration::from_secs(1) };
        assert!(matches!(take(&limits, &input), Verdict::Pass { .. }), "key {key}");
    }
    let full = resident();
    assert_eq!(limits[0].bytes() as u64, size);
    assert!(full.saturating_sub(before) <= said + BESIDE, "{before} grew to {full} bytes, {said} said");
}

/// Bytes that this process holds in memory, but for files, such as its own code.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
