//! Clients that take their time, on purpose. The deadlines here are of a second.

use std::time::Duration;

use super::ask::hold_slow;
use super::{Input, Row, Table};

pub fn table() -> Table {
    Table {
        title: "Time",
        about: "Deadlines of a second, and clients that send a byte every 50 ms. A deadline between two reads never ends such a \
                client; Tidegate's are in total, and a body has a rate to keep.",
        rows: rows(),
    }
}

fn rows() -> Vec<Row> {
    let drip = Duration::from_millis(50);
    let row =
        |name, first: &str, then: &str, wants| Row { name, input: Input::Slow(first.into(), then.into(), drip), wants };
    let many = "x".repeat(1000);
    let chunks = "1\r\na\r\n".repeat(200);
    let length = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    vec![
        row("nothing at all", "", "", "closed"),
        row("empty lines that drip", "", "\r\n", "408 head_timed_out"),
        row("half a request line, then silence", "GET /", "", "408 head_timed_out"),
        row("half a head, then silence", "GET / HTTP/1.1\r\nHo", "", "408 head_timed_out"),
        row("a head that drips", "GET / HTTP/1.1\r\nHost: test\r\nX: ", &many, "408 head_timed_out"),
        row("a body that never comes", length, "", "408 body_timed_out"),
        row("a body that drips", length, &many, "408 body_timed_out"),
        row("chunks that drip", chunked, &chunks, "408 body_timed_out"),
        row("a chunk's extension that drips", &format!("{chunked}1;"), &many, "408 body_timed_out"),
        row("trailers that drip", &format!("{chunked}0\r\nX: "), &many, "408 body_timed_out"),
    ]
}

#[test]
fn clients_that_drip_are_ended_by_total_deadlines() {
    hold_slow(&table());
}
