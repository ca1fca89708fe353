//! PEM blocks with their line numbers (RFC 7468), so that an error can say where.
//!
//! `rustls-pki-types` decodes the blocks, but doesn't tell lines, and passes over two blocks glued together.

use rustls_pki_types::pem::{PemObject, SectionKind};

/// A block from its BEGIN line to its END line.
#[derive(Debug, PartialEq)]
pub(super) struct Block<'a> {
    /// What stands after BEGIN: `CERTIFICATE`.
    pub(super) label: &'a str,
    /// The line of BEGIN, from 1.
    pub(super) line: usize,
    text: &'a str,
}

/// What is wrong in a PEM file, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFault {
    pub line: usize,
    pub kind: PemFaultKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PemFaultKind {
    /// A block begins here and has no END line.
    Unclosed { label: String },
    /// Something follows END on its line: files were joined without a line break.
    Glued,
    /// Not base64.
    BadBase64,
}

/// All blocks, in order. What stands outside of them is a comment.
pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, PemFault> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize, usize)> = None;
    let mut offset = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let start = offset;
        offset += line.len();
        let line = line.trim_end().trim_start_matches('\u{feff}');
        if let Some(label) = line.strip_prefix("-----BEGIN ") {
            if let Some((label, line, _)) = open {
                return Err(unclosed(label, line));
            }
            let label = label.strip_suffix("-----").unwrap_or(label);
            open = Some((label, number, start));
        } else if let Some(end) = line.strip_prefix("-----END ") {
            let Some((label, line, start)) = open else { continue };
            match end.strip_prefix(label).and_then(|rest| rest.strip_prefix("-----")) {
                Some("") => {
                    let text = text[start..offset].trim_start_matches('\u{feff}');
                    blocks.push(Block { label, line, text });
                    open = None;
                }
                Some(_) => return Err(PemFault { line: number, kind: PemFaultKind::Glued }),
                None => return Err(unclosed(label, line)),
            }
        }
    }
    match open {
        Some((label, line, _)) => Err(unclosed(label, line)),
        None => Ok(blocks),
    }
}

impl Block<'_> {
    pub(super) fn is_encrypted_key(&self) -> bool {
        // PKCS #8 says so in the label, the older forms of OpenSSL in a header line (RFC 1421 4.6.1.1).
        self.label == "ENCRYPTED PRIVATE KEY" || self.text.contains("Proc-Type: 4,ENCRYPTED")
    }

    /// What must leave no trace in memory.
    pub(super) fn is_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }

    /// The contents, for a kind of block that TLS knows.
    pub(super) fn decode(&self) -> Result<Option<(SectionKind, Vec<u8>)>, PemFault> {
        match <(SectionKind, Vec<u8>)>::from_pem_slice(self.text.as_bytes()) {
            Ok(section) => Ok(Some(section)),
            Err(rustls_pki_types::pem::Error::NoItemsFound) => Ok(None),
            Err(_) => Err(PemFault { line: self.first_bad_line(), kind: PemFaultKind::BadBase64 }),
        }
    }

    /// What a file holds, for who looked for something else in it.
    pub(super) fn list(blocks: &[Block<'_>]) -> String {
        if blocks.is_empty() {
            return "no PEM block (\"-----BEGIN …\"); a DER file can be converted with openssl".into();
        }
        let mut labels: Vec<_> = blocks.iter().map(|block| block.label).collect();
        labels.dedup();
        labels.join(", ")
    }

    fn first_bad_line(&self) -> usize {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        let bad = |line: &str| !line.starts_with("-----") && !line.trim_end().bytes().all(is_base64);
        self.line + self.text.lines().position(bad).unwrap_or(0)
    }
}

fn unclosed(label: &str, line: usize) -> PemFault {
    PemFault { line, kind: PemFaultKind::Unclosed { label: label.into() } }
}

impl std::fmt::Display for PemFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.kind {
            PemFaultKind::Unclosed { label } => {
                write!(f, "the {label} that begins here has no END line: the file is cut short")
            }
            PemFaultKind::Glued => {
                f.write_str("something follows END on its line: put a line break between the blocks")
            }
            PemFaultKind::BadBase64 => f.write_str("not base64: the file is damaged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----\r\n";

    fn fault(text: &str) -> PemFault {
        match blocks(text) {
            Err(fault) => fault,
            Ok(blocks) => blocks.iter().find_map(|block| block.decode().err()).unwrap(),
        }
    }

    #[test]
    fn blocks_know_their_line_and_comments_are_passed_over() {
        let text = format!("\u{feff}{ONE}subject=CN\n{ONE}");
        let blocks = blocks(&text).unwrap();
        assert_eq!(
            blocks.iter().map(|b| (b.label, b.line)).collect::<Vec<_>>(),
            [("CERTIFICATE", 1), ("CERTIFICATE", 5)]
        );
        assert!(blocks.iter().all(|b| b.decode() == Ok(Some((SectionKind::Certificate, vec![0; 3])))));
    }

    #[test]
    fn faults_name_their_line() {
        let cut = format!("{ONE}-----BEGIN CERTIFICATE-----\nAAAA\n");
        let twice = format!("-----BEGIN EC PRIVATE KEY-----\nAAAA\n{ONE}");
        let glued = format!("{}{}", ONE.trim_end(), ONE);
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\nA?AA\n-----END CERTIFICATE-----\n";
        for (text, line, kind) in [
            (cut.as_str(), 4, PemFaultKind::Unclosed { label: "CERTIFICATE".into() }),
            (&twice, 1, PemFaultKind::Unclosed { label: "EC PRIVATE KEY".into() }),
            (&glued, 3, PemFaultKind::Glued),
            (damaged, 3, PemFaultKind::BadBase64),
        ] {
            assert_eq!(fault(text), PemFault { line, kind }, "{text}");
        }
    }

    #[test]
    fn both_forms_of_encrypted_keys_are_known() {
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ] {
            assert!(blocks(text).unwrap()[0].is_encrypted_key());
        }
    }
}
