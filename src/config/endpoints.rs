//! A file of endpoints → checked values, in the words of `endpoints = […]`.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check;
use super::diagnostic::{Diagnostic, Diagnostics, Source, quote};
use super::file::EndpointsFile;
use super::load::{read_text, syntax_error, unreadable};
use super::model::{Address, Endpoint};
use super::read::{Read, Reader};
use super::variables::Environment;

/// Reads a file of endpoints. What comes out has an address and a port each, and is not empty.
///
/// # Errors
/// Every complaint about it: it can't be read, it isn't whole, a name stands where an address should.
pub fn load_endpoints(path: &Path) -> Result<Vec<Endpoint>, Diagnostics> {
    match read_text(path, MAX_FILE) {
        Ok(text) => parse(path, text, &|name| std::env::var_os(name)),
        Err(why) => Err(Diagnostics::new(Vec::new(), vec![unreadable(path, why)])),
    }
}

fn parse(path: &Path, text: String, environment: &Environment<'_>) -> Result<Vec<Endpoint>, Diagnostics> {
    let (table, syntax_errors) = DeTable::parse_recoverable(&text);
    let mut reader = Reader::new(0, &text, environment);
    let root = Spanned::new(0..0, DeValue::Table(table.into_inner()));
    let file = EndpointsFile::read(&root, &mut reader);
    let read = reader.complaints;
    let sources = vec![Source { path: path.to_owned(), text: text.clone() }];
    if !syntax_errors.is_empty() {
        let complaints = syntax_errors.iter().map(|error| syntax_error(error, 0, &text)).collect();
        return Err(Diagnostics::new(sources, complaints));
    }
    let mut complaints = read;
    let mut endpoints = Vec::new();
    if let Some(list) = file.as_ref().and_then(|file| file.endpoints.as_ref()) {
        endpoints = check::check_endpoints(list, &sources, &mut complaints);
        if list.items.is_empty() && list.complete {
            complaints.push(
                Diagnostic::error("there is no endpoint")
                    .at(list.place, "empty")
                    .help("what was listed before stays in use; to take all out, write `down = true` at each"),
            );
        }
        let named = list.items.iter().filter_map(|file| file.address.as_ref());
        for address in named.filter(|address| address.0.parse::<Address>().is_err()) {
            complaints.push(
                Diagnostic::error(format!("{} is a name", quote(&address.0)))
                    .at(address.place, "needs to be an address")
                    .help("names stand in the configuration: `endpoints = [{ address = \"…\", resolve = true }]`"),
            );
        }
    }
    let diagnostics = Diagnostics::new(sources, complaints);
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(endpoints) }
}

/// Some ten thousands of endpoints.
const MAX_FILE: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Endpoint>, String> {
        let complaints = |diagnostics: Diagnostics| {
            diagnostics.iter().map(|diagnostic| diagnostic.title.clone()).collect::<Vec<_>>().join("; ")
        };
        parse(Path::new("e.toml"), text.to_owned(), &|_| None).map_err(complaints)
    }

    #[test]
    fn endpoints_are_listed_as_in_the_configuration() {
        let text = r#"
            endpoints = [
                "10.0.0.1:8080",
                { address = "[::1]:80", weight = 3, backup = true, max_conns = 5, zone = "a" },
                { address = "10.0.0.3", down = true },
            ]
        "#;
        let endpoints = read(text).unwrap();
        let addresses: Vec<_> = endpoints.iter().map(|e| e.address.as_str()).collect();
        assert_eq!(addresses, ["10.0.0.1:8080", "[::1]:80", "10.0.0.3:80"]);
        let second = &endpoints[1];
        assert_eq!((second.weight.get(), second.backup, second.max_conns.map(|n| n.get())), (3, true, Some(5)));
        assert_eq!((second.zone.as_deref(), endpoints[2].down), (Some("a"), true));
        assert_eq!(read("endpoints = \"unix:/run/app.sock\"").unwrap()[0].address, "unix:/run/app.sock");
        let tables = "[[endpoints]]\naddress = \"10.0.0.1:1\"\n[[endpoints]]\naddress = \"10.0.0.1:2\"\n";
        assert_eq!(read(tables).unwrap().len(), 2);
    }

    #[test]
    fn what_is_half_written_or_wrong_is_no_list() {
        let whole = "endpoints = [\"10.0.0.1:1\", \"10.0.0.2:1\"]";
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{}", &whole[..length]);
        }
        assert_eq!(read("endpoints = []").unwrap_err(), "there is no endpoint");
        assert_eq!(read("").unwrap_err(), "`endpoints` is missing");
        assert_eq!(read("endpoints = [\"a:1\", \"10.0.0.1:1\"]").unwrap_err(), "\"a:1\" is a name");
        let twice = "endpoints = [\"10.0.0.1:1\", \"10.0.0.1:1\"]";
        assert_eq!(read(twice).unwrap_err(), "endpoint \"10.0.0.1:1\" stands here twice");
        assert!(read("endpoints = [\"10.0.0.1:1\"]\nother = 1").unwrap_err().contains("unknown key `other`"));
    }
}
