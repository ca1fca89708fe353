//! The three forms of a line.

use super::record::{Field, Record, Value};
use super::stamp::Stamp;
use super::template::{Part, Template, TemplateError, parse_template};
use super::text;
use crate::config::LogFormat;

/// How a record becomes a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Format {
    Json,
    Combined,
    Template(Template),
}

impl Format {
    pub(super) fn compile(format: &LogFormat) -> Result<Self, TemplateError> {
        Ok(match format {
            LogFormat::Json => Format::Json,
            LogFormat::Combined => Format::Combined,
            LogFormat::Template(text) => Format::Template(parse_template(text)?),
        })
    }

    /// Appends one line, with its line feed.
    pub(super) fn write(&self, record: &Record<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
        match self {
            Format::Json => json(record, stamp, out),
            Format::Combined => combined(record, stamp, out),
            Format::Template(template) => fill(template, record, stamp, out),
        }
        out.push(b'\n');
    }
}

/// nginx's predefined `combined`:
/// `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`.
fn combined(record: &Record<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    record.client.append(out);
    out.extend_from_slice(b" - ");
    nginx_or_dash(record.user.filter(|user| !user.is_empty()), out);
    out.extend_from_slice(b" [");
    out.extend_from_slice(stamp.local(record.time));
    out.extend_from_slice(b"] \"");
    if record.method.is_empty() {
        nginx_or_dash(Some(record.target).filter(|line| !line.is_empty()), out);
    } else {
        text::nginx(record.method, out);
        out.push(b' ');
        text::nginx(record.target, out);
        out.push(b' ');
        out.extend_from_slice(record.version.map_or("", |version| version.as_str()).as_bytes());
    }
    out.extend_from_slice(b"\" ");
    text::number(record.status.into(), out);
    out.push(b' ');
    text::number(record.bytes_sent, out);
    out.extend_from_slice(b" \"");
    nginx_or_dash(record.referer, out);
    out.extend_from_slice(b"\" \"");
    nginx_or_dash(record.user_agent, out);
    out.push(b'"');
}

/// nginx writes `-` for a field that isn't there, and nothing for one that is empty.
fn nginx_or_dash(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        Some(value) => text::nginx(value, out),
        None => out.push(b'-'),
    }
}

/// One object a line. What is absent is left out; times are in seconds.
fn json(record: &Record<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    let start = out.len();
    for &field in Field::ALL {
        let value = record.value(field);
        if !matches!(value, Value::Absent) {
            out.extend_from_slice(field.key().as_bytes());
            json_value(value, stamp, out);
        }
    }
    // In place of the first comma: the time is never absent.
    out[start] = b'{';
    out.push(b'}');
}

fn json_value(value: Value<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    match value {
        Value::Absent => out.extend_from_slice(b"null"),
        Value::Number(n) => text::number(n, out),
        Value::Flag(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
        Value::Seconds(time) => text::seconds(time, out),
        Value::Bytes(bytes) => quoted(out, |out| text::json(bytes, out)),
        Value::Client(client) => quoted(out, |out| client.append(out)),
        Value::Peer(peer) => quoted(out, |out| text::peer(peer, out)),
        Value::Time(time) => quoted(out, |out| stamp.append_utc(time, out)),
        Value::List(items) => {
            let mut separator = b'[';
            for item in items {
                out.push(separator);
                separator = b',';
                quoted(out, |out| text::json(item.as_bytes(), out));
            }
            out.push(b']');
        }
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// Values as in the JSON form, but bare, escaped as nginx does, and `-` for what is absent or empty.
fn fill(template: &Template, record: &Record<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    for part in &template.parts {
        match part {
            Part::Literal(bytes) => out.extend_from_slice(bytes),
            Part::Field(field) => bare_value(record.value(*field), stamp, out),
        }
    }
}

fn bare_value(value: Value<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    match value {
        Value::Absent => out.push(b'-'),
        Value::Bytes(bytes) => text::nginx(bytes, out),
        Value::Client(client) => client.append(out),
        Value::Peer(peer) => text::peer(peer, out),
        Value::Time(time) => stamp.append_utc(time, out),
        Value::List(items) => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                text::nginx(item.as_bytes(), out);
            }
        }
        Value::Number(_) | Value::Flag(_) | Value::Seconds(_) => json_value(value, stamp, out),
    }
}
