//! Asks one proxy the rows of a table, and says in words what it did.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::{slice, thread};

use super::peers::{Listener, Running, Who};
use super::{Input, Row, Table};
use crate::support::{Answer, Broken, Client, Fate, Latch, Message, Origin, RawH2, error, eventually, get, kind};

/// How long a connection that is written to slowly is looked at: five times the deadlines.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks Tidegate, holds it to what the rows want, and to a count of each reason. The endpoint, for what came to it.
#[track_caller]
pub fn hold(table: &Table) -> Origin {
    let mut asked = Asked::start(Who::Tidegate, table.listener());
    let said = asked.about_all(&table.rows);
    compare(table, &said);
    let mut counts = BTreeMap::<String, f64>::new();
    for series in table.rows.iter().zip(&said).filter_map(|(row, said)| counted(row, said)) {
        *counts.entry(series).or_default() += 1.0;
    }
    let gate = asked.proxy.gate.as_ref().unwrap();
    for (series, count) in counts {
        eventually(&format!("{series} {count}"), || gate.metric(&series) == count);
    }
    asked.origin
}

/// Holds Tidegate to what the rows want, all of them at once: each takes its time.
#[track_caller]
pub fn hold_slow(table: &Table) {
    compare(table, &ask(Who::Tidegate, &[table])[0]);
}

#[track_caller]
fn compare(table: &Table, said: &[String]) {
    let differing = table.rows.iter().zip(said).filter(|(row, said)| row.wants != *said);
    let wrong: Vec<_> = differing.map(|(row, said)| (row.name, row.wants, said)).collect();
    assert!(wrong.is_empty(), "{}: {wrong:#?}", table.title);
}

/// The series that counts what was said.
fn counted(row: &Row, said: &str) -> Option<String> {
    if let Input::Handshake(_) = row.input {
        // One that goes on is given up by its client.
        return Some("tidegate_tls_handshake_failures_total{reason=\"failed\"}".to_string());
    }
    if let Some(reason) = said.split(' ').find(|word| is_reason(word)) {
        return Some(format!("tidegate_replies_total{{reason=\"{reason}\"}}"));
    }
    let (what, why) = said.split_once(' ').unwrap_or((said, ""));
    (what == "GOAWAY").then(|| format!("tidegate_http2_faults_total{{error=\"{}\"}}", why.to_lowercase()))
}

/// What it does with each row of these tables, which are all for one kind of listener.
#[track_caller]
pub fn ask(who: Who, tables: &[&Table]) -> Vec<Vec<String>> {
    let Some(listener) = tables.first().map(|table| table.listener()) else { return Vec::new() };
    if listener != Listener::Slow {
        let mut asked = Asked::start(who, listener);
        return tables.iter().map(|table| asked.about_all(&table.rows)).collect();
    }
    let one = |row: &Row| Asked::start(who, listener).about_all(slice::from_ref(row)).remove(0);
    let all = |table: &Table| {
        thread::scope(|scope| {
            let asked: Vec<_> = table.rows.iter().map(|row| scope.spawn(move || one(row))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        })
    };
    tables.iter().map(|table| all(table)).collect()
}

struct Asked {
    proxy: Running,
    origin: Origin,
    /// Requests that Tidegate has a record of, or will have.
    recorded: usize,
}

impl Asked {
    #[track_caller]
    fn start(who: Who, listener: Listener) -> Self {
        let origin = match listener {
            Listener::Http2 => Origin::answering(Answer::nothing().hang()),
            _ => Origin::mirror(),
        };
        Self { proxy: who.start(listener, origin.address()), origin, recorded: 0 }
    }

    #[track_caller]
    fn about_all(&mut self, rows: &[Row]) -> Vec<String> {
        if let Input::Request(_) = rows[0].input {
            self.origin.answer_with(|request| Answer::ok(&request.body));
        }
        let mut said: Vec<_> = rows.iter().map(|row| self.about(row)).collect();
        // All at once, since the log is written a while after.
        if let Some(gate) = &self.proxy.gate {
            let records = gate.records(self.recorded);
            for (number, record) in records.iter().enumerate() {
                let reason = record["reason"].as_str().filter(|reason| *reason != "-");
                let reason = reason.map_or(String::new(), |reason| format!(" {reason}"));
                for said in &mut said {
                    *said = said.replace(&place_of(number), &reason);
                }
            }
        }
        said
    }

    #[track_caller]
    fn about(&mut self, row: &Row) -> String {
        match &row.input {
            Input::Request(bytes) => self.request(bytes, row.wants),
            Input::Response(answer) => self.response(answer),
            Input::Frames(bytes) => self.frames(bytes),
            Input::Section(bytes) => self.frames(bytes) + &self.reason(),
            Input::Handshake(bytes) => self.handshake(bytes),
            Input::Slow(first, then, every) => self.slow(first, then, *every),
        }
    }

    fn client(&self) -> Client {
        Client::connect(self.proxy.address())
    }

    /// Holds the place of the next record's reason. Only Tidegate has any.
    fn reason(&mut self) -> String {
        if self.proxy.gate.is_none() {
            return String::new();
        }
        self.recorded += 1;
        place_of(self.recorded - 1)
    }

    /// A refused one has a good one pipelined behind it, which must not be answered: only Tidegate is held to that.
    fn request(&mut self, bytes: &[u8], wants: &str) -> String {
        let before = (self.origin.count(), self.origin.malformed());
        let refuses = self.proxy.gate.is_some() && wants.starts_with(['4', '5']);
        let mut client = self.client();
        client.send([bytes, if refuses { get("/behind").into_bytes() } else { vec![] }.as_slice()].concat());
        let mut said = match client.try_response("GET") {
            Ok(response) => format!("{}{}", response.status, self.reason()),
            Err(broken) => in_words(&broken),
        };
        if refuses && !client.is_closed_within(PATIENCE) {
            said += ", left open";
        }
        match self.origin.count() - before.0 {
            0 if self.origin.malformed() > before.1 => said + ", forwarded malformed",
            0 => said,
            _ if said.starts_with("200") => said.replacen("200", "forwarded", 1),
            _ => said + ", forwarded",
        }
    }

    /// The second request must have its own answer.
    fn response(&mut self, answer: &Answer) -> String {
        let answer = answer.clone();
        let script =
            move |request: &Message| if request.target() == "/bad" { answer.clone() } else { Answer::ok("good") };
        self.origin.answer_with(script);
        let bad = self.client().send(get("/bad")).try_response("GET");
        let mut said = match bad {
            Ok(response) => response.status.to_string(),
            Err(Broken::Cut(_) | Broken::Reset) => "cut".to_string(),
            Err(broken) => in_words(&broken),
        };
        said += &self.reason();
        let next = self.client().send(get("/good")).try_response("GET");
        self.reason();
        let is_good = next.is_ok_and(|response| response.text() == "good");
        if let [.., first, second] = self.origin.came_on()[..]
            && first == second
        {
            said += ", connection kept";
        }
        if is_good { said } else { said + ", next answer wrong" }
    }

    /// A PING behind the frames tells when they have been dealt with; a second one, what the streams' own tasks say later.
    /// What becomes of the connection counts more than what becomes of its first stream.
    fn frames(&mut self, bytes: &[u8]) -> String {
        let mut raw = RawH2::connect(self.proxy.address());
        raw.send_bytes(bytes);
        let mut said = None;
        for ping in [b"the last", b"once yet"] {
            raw.send(kind::PING, 0, 0, ping);
            loop {
                match raw.frame() {
                    Ok(frame) if frame.kind == kind::PING && frame.payload == ping => break,
                    Ok(frame) => match Fate::told_by(&frame, 1) {
                        Some(Fate::GoAway(code)) => return format!("GOAWAY {}", error::name(code)),
                        Some(Fate::Reset(code)) => said = said.or(Some(format!("RST_STREAM {}", error::name(code)))),
                        Some(Fate::Status(status)) => said = said.or(Some(status.to_string())),
                        _ => {}
                    },
                    Err(broken) => return said.unwrap_or_else(|| in_words(&broken)),
                }
            }
        }
        said.unwrap_or_else(|| "taken".to_string())
    }

    fn handshake(&mut self, bytes: &[u8]) -> String {
        let mut client = self.client();
        client.send(bytes);
        match client.take(7) {
            Ok(said) if said.starts_with(b"HTTP/1.") => format!("a response in plain HTTP{}", self.reason()),
            Ok(said) if said[0] == 21 => format!("alert {}", said[6]),
            Ok(said) if said[0] == 22 => "handshake goes on".to_string(),
            Ok(said) => format!("{:?}", said.escape_ascii().to_string()),
            Err(broken) => in_words(&broken),
        }
    }

    fn slow(&mut self, first: &[u8], then: &[u8], every: Duration) -> String {
        let mut client = self.client();
        client.send(first);
        let since = Instant::now();
        for byte in then {
            if since.elapsed() > PATIENCE || !client.try_send([*byte]) {
                break;
            }
            Latch::new().wait_for(every);
        }
        let left = PATIENCE.saturating_sub(since.elapsed()).max(Duration::from_millis(100));
        match client.response_within(left) {
            Ok(response) => format!("{}{}", response.status, self.reason()),
            Err(Broken::TimedOut) => "still waits after five times the deadline".to_string(),
            Err(broken) => in_words(&broken),
        }
    }
}

/// Whether a word of what was said is one of Tidegate's reasons.
pub fn is_reason(word: &str) -> bool {
    word.contains('_') && word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Stands for the reason of a record until that is written.
fn place_of(record: usize) -> String {
    format!("\u{1}{record}\u{1}")
}

fn in_words(broken: &Broken) -> String {
    match broken {
        Broken::Closed | Broken::Reset => "closed",
        Broken::Cut(_) => "an answer that is no HTTP/1",
        Broken::TimedOut => "no answer",
        Broken::Malformed(_) => "passed on malformed",
    }
    .to_string()
}
