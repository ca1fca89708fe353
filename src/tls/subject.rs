//! A certificate's subject as text: RFC 4514, as OpenSSL's `-nameopt RFC2253` and so nginx's `$ssl_client_s_dn` write it.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::prelude::FromDer;
use x509_parser::x509::AttributeTypeAndValue;

/// The subject: printable ASCII without line ends, so that it can stand in a header field. `None` if the bytes are no
/// certificate, or its subject is longer than [`LONGEST`].
pub(super) fn subject(certificate: &CertificateDer<'_>) -> Option<Box<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut text = String::new();
    let names: Vec<_> = certificate.subject().iter_rdn().collect();
    for (index, name) in names.iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in name.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            append(attribute, &mut text);
        }
        if text.len() > LONGEST {
            return None;
        }
    }
    Some(text.into())
}

fn append(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let oid = attribute.attr_type().to_id_string();
    match NAMES.iter().find(|(known, _)| *known == oid) {
        Some((_, name)) => text.push_str(name),
        None => text.push_str(&oid),
    }
    text.push('=');
    let value = attribute.attr_value();
    match (value.tag(), attribute.as_str()) {
        // Of 8, 16 or 32 bits: what isn't UTF-8 is written as it is encoded.
        (Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString, Ok(value)) => {
            append_escaped(value, text);
        }
        _ => {
            text.push('#');
            text.push_str(&data_encoding::HEXUPPER.encode(attribute.attr_value().data));
        }
    }
}

/// RFC 4514 2.4, and every byte that isn't printable ASCII as `\XX`.
fn append_escaped(value: &str, text: &mut String) {
    let last = value.len().saturating_sub(1);
    for (index, byte) in value.bytes().enumerate() {
        let at_edge = (byte == b' ' && (index == 0 || index == last)) || (byte == b'#' && index == 0);
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => text.extend(['\\', char::from(byte)]),
            _ if at_edge => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:02X}")),
        }
    }
}

/// Bytes of a subject that is told to an upstream.
const LONGEST: usize = 4096;

/// The short names of RFC 4514 3, and OpenSSL's of others that subjects are made of.
const NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];
