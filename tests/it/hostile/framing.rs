//! Where a request's body ends: the heads that say it in two ways, or in none.

use super::ask::hold;
use super::{Row, Table, post, request};

const AMBIGUOUS: &str = "400 ambiguous_framing";

pub fn table() -> Table {
    Table {
        title: "Where a request ends",
        about: "Whoever reads a request's end elsewhere than the endpoint does lets a client put a second request into \
                somebody else's connection. So nothing passes that two readers could take differently: the connection is \
                closed, and what was pipelined behind it is not answered.",
        rows: rows(),
    }
}

fn rows() -> Vec<Row> {
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "hello");
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
    let both = |first: &str, second: &str| post(&format!("{first}\r\n{second}\r\n"), "0\r\n\r\n");
    let (five, chunked) = ("Content-Length: 5", "Transfer-Encoding: chunked");
    vec![
        request("Content-Length, then Transfer-Encoding", both(five, chunked), AMBIGUOUS),
        request("Transfer-Encoding, then Content-Length", both(chunked, five), AMBIGUOUS),
        request("two lengths that differ", both(five, "Content-Length: 6"), AMBIGUOUS),
        request("two lengths that agree", both(five, five), AMBIGUOUS),
        request("a list of lengths that differ", length("5, 6"), AMBIGUOUS),
        request("a list of lengths that agree", length("5,5"), AMBIGUOUS),
        request("a length with a plus", length("+5"), AMBIGUOUS),
        request("a length with a minus", length("-5"), AMBIGUOUS),
        request("a length in hexadecimal", length("0x5"), AMBIGUOUS),
        request("a length with a point", length("5.0"), AMBIGUOUS),
        request("a length of 20 digits", length("99999999999999999999"), AMBIGUOUS),
        request("a length over 2^63, which wraps where it is signed", length("18446744073709551611"), AMBIGUOUS),
        request("a length with a blank inside", length("5 5"), AMBIGUOUS),
        request("a length in quotes", length("\"5\""), AMBIGUOUS),
        request("an empty length", length(""), AMBIGUOUS),
        request("a length in words", length("five"), AMBIGUOUS),
        request("a length in digits that aren't ASCII", length("\u{665}"), AMBIGUOUS),
        request("a vertical tab before a length", length("\x0b5"), "400 malformed_head"),
        request("chunked in HTTP/1.0", coding("chunked").replace("HTTP/1.1", "HTTP/1.0"), AMBIGUOUS),
        request("chunked in HTTP/1.0 with a length", both(chunked, five).replace("HTTP/1.1", "HTTP/1.0"), AMBIGUOUS),
        request("chunked twice in a list", coding("chunked, chunked"), AMBIGUOUS),
        request("chunked in two fields", both(chunked, chunked), AMBIGUOUS),
        request("chunked in one field, another coding in the next", both(chunked, "Transfer-Encoding: x"), AMBIGUOUS),
        request("chunked that isn't last", coding("chunked, gzip"), AMBIGUOUS),
        request("chunked behind a vertical tab", coding("\x0bchunked"), "400 malformed_head"),
        request("chunked behind a form feed", coding("\x0cchunked"), "400 malformed_head"),
        request("chunked behind a no-break space", coding("\u{a0}chunked"), AMBIGUOUS),
        request("chunked with a byte behind it that isn't ASCII", coding("chunked\u{df}"), AMBIGUOUS),
        request("chunked in quotes", coding("\"chunked\""), AMBIGUOUS),
        request("chunked with a parameter", coding("chunked;x=y"), AMBIGUOUS),
        request("chunked behind an empty element", coding(",chunked"), AMBIGUOUS),
        request("chunked with an empty element behind it", coding("chunked,"), AMBIGUOUS),
        request("an empty coding", coding(""), AMBIGUOUS),
        request("identity", coding("identity"), AMBIGUOUS),
        request("identity and a length", both("Transfer-Encoding: identity", five), AMBIGUOUS),
        request("a folded coding", coding("\r\n chunked"), "400 malformed_head"),
        request(
            "a coding whose name has a blank behind it",
            both("Transfer-Encoding : chunked", five),
            "400 malformed_head",
        ),
        request("a length whose name has a blank behind it", both("Content-Length : 5", chunked), "400 malformed_head"),
        request("gzip, then chunked", coding("gzip, chunked"), "501 unknown_transfer_coding"),
        request("a coding that nobody knows", coding("xchunked"), "501 unknown_transfer_coding"),
    ]
}

#[test]
fn what_could_end_in_two_places_is_refused_and_nothing_forwarded() {
    assert_eq!(hold(&table()).connections_opened(), 0);
}
