//! `ssl_ciphers`: the language of OpenSSL's cipher lists, over the suites that there are.
//!
//! Operators bring lists that they have had for years. What such a list says about our suites is done as OpenSSL does it
//! (`openssl-ciphers(1)`); suites of other libraries that it names are told, so that nobody waits for them.

use serde_json::Value as Json;

use super::{Complaint, Text, string_schema};
use crate::config::diagnostic::{nearest, quote};
use crate::config::model::CipherSuite;

/// A list of cipher suites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ciphers {
    /// In the order of the list. TLS 1.3 has its three if none of them is named, as with OpenSSL.
    pub(crate) suites: Vec<CipherSuite>,
    /// Suites named that aren't spoken.
    pub(crate) left_out: Vec<String>,
}

impl Text for Ciphers {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a list of cipher suites such as \"ECDHE+AESGCM:ECDHE+CHACHA20\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let mut list = List::default();
        for term in text.split([':', ',', ' ']).filter(|term| !term.is_empty()) {
            list.apply(term)?;
        }
        list.finish(text)
    }

    fn json() -> Json {
        string_schema(
            "Cipher suites as OpenSSL lists them.",
            &["ECDHE+AESGCM:ECDHE+CHACHA20", "HIGH:!aNULL:!MD5", "TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES256-GCM-SHA384"],
        )
    }
}

/// A list while its terms are applied, one after the other.
#[derive(Default)]
struct List {
    chosen: Vec<CipherSuite>,
    banned: Vec<CipherSuite>,
    left_out: Vec<String>,
}

impl List {
    fn apply(&mut self, term: &str) -> Result<(), Complaint> {
        // `@STRENGTH` and `@SECLEVEL=2` sort and bound what OpenSSL has; ours are all strong.
        if term.starts_with("@STRENGTH") || term.starts_with("@SECLEVEL=") {
            return Ok(());
        }
        let sign = term.chars().next().filter(|sign| "!-+".contains(*sign));
        let name = sign.map_or(term, |_| &term[1..]);
        let Some(meant) = meaning(name)? else {
            if sign.is_none() && !self.left_out.iter().any(|left| left == name) {
                self.left_out.push(name.to_owned());
            }
            return Ok(());
        };
        match sign {
            None => {
                let new = meant.into_iter().filter(|s| !self.chosen.contains(s) && !self.banned.contains(s));
                let new: Vec<_> = new.collect();
                self.chosen.extend(new);
            }
            Some('+') => {
                let (last, first): (Vec<_>, Vec<_>) = self.chosen.iter().partition(|s| meant.contains(s));
                self.chosen = [first, last].concat();
            }
            Some(sign) => {
                self.chosen.retain(|s| !meant.contains(s));
                if sign == '!' {
                    self.banned.extend(meant);
                }
            }
        }
        Ok(())
    }

    fn finish(self, text: &str) -> Result<Ciphers, Complaint> {
        let Self { mut chosen, banned, left_out } = self;
        if !chosen.iter().any(|suite| suite.is_tls13()) {
            let tls13 = CipherSuite::ALL.into_iter().filter(|suite| suite.is_tls13() && !banned.contains(suite));
            chosen.splice(0..0, tls13);
        }
        if chosen.is_empty() {
            return Err(Complaint::new(format!("{} leaves no cipher suite", quote(text)))
                .help(format!("there are: {}", CipherSuite::ALL.map(CipherSuite::name).join(", "))));
        }
        Ok(Ciphers { suites: chosen, left_out })
    }
}

/// The suites that a name without sign stands for, in the server's order. `None`: a suite of other libraries.
fn meaning(name: &str) -> Result<Option<Vec<CipherSuite>>, Complaint> {
    if let Some(suite) = CipherSuite::ALL.into_iter().find(|suite| is_name_of(*suite, name)) {
        return Ok(Some(vec![suite]));
    }
    // `ECDHE+AESGCM`: what is in both.
    let mut suites: Vec<CipherSuite> = CipherSuite::ALL.into_iter().filter(|suite| !suite.is_tls13()).collect();
    for part in name.split('+') {
        if let Some((_, is_in)) = CLASSES.iter().find(|(class, _)| *class == part) {
            suites.retain(|suite| is_in(suite.name()));
        } else if EMPTY_CLASSES.contains(&part) {
            suites.clear();
        } else if is_like_a_suite(part) && part == name {
            return Ok(None);
        } else {
            let known = CLASSES.iter().map(|(class, _)| *class).chain(CipherSuite::ALL.map(CipherSuite::name));
            let complaint = Complaint::new(format!("{} is no cipher suite, nor a kind of them", quote(part)));
            return Err(match nearest(part, known) {
                Some(near) => complaint.help(format!("did you mean {near}?")),
                None => complaint.help("write names as OpenSSL does: `openssl ciphers` lists them"),
            });
        }
    }
    Ok(Some(suites))
}

/// By OpenSSL's name, or by IANA's: `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`.
fn is_name_of(suite: CipherSuite, name: &str) -> bool {
    let Some(rest) = name.strip_prefix("TLS_ECDHE_") else { return suite.name() == name };
    let Some((key, cipher)) = rest.split_once("_WITH_") else { return false };
    let cipher = cipher.replace("AES_", "AES").replace("POLY1305_SHA256", "POLY1305").replace('_', "-");
    suite.name() == format!("ECDHE-{key}-{cipher}")
}

/// `DHE-RSA-AES256-GCM-SHA384` or `TLS_DHE_RSA_WITH_AES_256_GCM_SHA384`.
fn is_like_a_suite(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let is_of = |separator: char| name.contains(separator) && name.split(separator).all(is_part);
    is_of('-') || (name.starts_with("TLS_") && is_of('_'))
}

/// Whether a suite of TLS 1.2, by its name, is of a kind.
type IsIn = fn(&str) -> bool;

/// Kinds that some of ours are of.
const CLASSES: &[(&str, IsIn)] = &[
    ("ALL", |_| true),
    ("DEFAULT", |_| true),
    ("HIGH", |_| true),
    ("TLSv1.2", |_| true),
    ("ECDHE", |_| true),
    ("EECDH", |_| true),
    ("kECDHE", |_| true),
    ("kEECDH", |_| true),
    ("ECDSA", |name| name.contains("ECDSA")),
    ("aECDSA", |name| name.contains("ECDSA")),
    ("aRSA", |name| name.contains("RSA-")),
    ("AES", |name| name.contains("AES")),
    ("AESGCM", |name| name.contains("GCM")),
    ("AES128", |name| name.contains("AES128")),
    ("AES256", |name| name.contains("AES256")),
    ("CHACHA20", |name| name.contains("CHACHA20")),
    ("FIPS", |name| name.contains("AES")),
];

/// Kinds that none of ours is of. `SHA256` and `SHA384` are message authentication codes, which suites with AEAD don't
/// have, and `RSA` is the exchange of a key without forward secrecy.
#[rustfmt::skip]
const EMPTY_CLASSES: &[&str] = &[
    "3DES", "ADH", "AECDH", "AESCCM", "AESCCM8", "ARIA", "ARIA128", "ARIA256", "ARIAGCM", "CAMELLIA", "CAMELLIA128",
    "CAMELLIA256", "CBC", "COMPLEMENTOFALL", "COMPLEMENTOFDEFAULT", "DES", "DH", "DHE", "DSS", "ECDH", "EDH", "EXP",
    "EXPORT", "EXPORT40", "EXPORT56", "GOST89MAC", "GOST94", "IDEA", "KRB5", "LOW", "MD5", "MEDIUM", "NULL", "PSK", "RC2",
    "RC4", "RSA", "SEED", "SHA", "SHA1", "SHA256", "SHA384", "SRP", "SSLv2", "SSLv3", "TLSv1", "TLSv1.0", "aDH", "aDSS",
    "aECDH", "aGOST", "aNULL", "aPSK", "eNULL", "kDH", "kDHE", "kDHEPSK", "kECDH", "kECDHEPSK", "kEDH", "kGOST", "kPSK",
    "kRSA", "kRSAPSK", "kSRP",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the suites of TLS 1.2, in short, and what was left out.
    fn parsed(text: &str) -> (String, Vec<String>) {
        let ciphers = Ciphers::parse(text).unwrap();
        let short = |suite: &CipherSuite| {
            let name = suite.name().strip_prefix("ECDHE-")?;
            let (key, cipher) = name.split_once('-')?;
            Some(format!("{}{}", &key[..1], ["128", "256", "CHA"].iter().find(|c| cipher.contains(*c))?))
        };
        (ciphers.suites.iter().filter_map(short).collect::<Vec<_>>().join(" "), ciphers.left_out)
    }

    #[test]
    fn a_list_means_what_openssl_means_by_it() {
        let all = "E128 R128 E256 R256 ECHA RCHA";
        for (list, meant) in [
            ("HIGH:!aNULL:!MD5", all),
            ("HIGH:!aNULL:!MD5:!CHACHA20", "E128 R128 E256 R256"),
            ("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!MD5:!DSS", all),
            ("EECDH+AESGCM EDH+AESGCM", "E128 R128 E256 R256"),
            ("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", "R256 R128"),
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "RCHA E128"),
            ("ALL:+AES128:@STRENGTH", "E256 R256 ECHA RCHA E128 R128"),
            ("ALL:-aRSA:aRSA+AES256", "E128 E256 ECHA R256"),
            ("ALL:!aRSA:aRSA+AES256", "E128 E256 ECHA"),
            ("HIGH:!SHA384:!RSA:@SECLEVEL=2", all),
            ("RC4:MD5", ""),
        ] {
            assert_eq!(parsed(list), (meant.to_owned(), Vec::new()), "{list}");
        }
    }

    #[test]
    fn suites_that_are_not_spoken_are_named() {
        let (suites, left_out) =
            parsed("ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:AES128-SHA:!DES-CBC3-SHA");
        assert_eq!(suites, "R128");
        assert_eq!(left_out, ["DHE-RSA-AES128-GCM-SHA256", "AES128-SHA"]);
        assert_eq!(parsed("TLS_DHE_RSA_WITH_AES_128_CBC_SHA:HIGH").1, ["TLS_DHE_RSA_WITH_AES_128_CBC_SHA"]);
    }

    #[test]
    fn tls_1_3_has_all_its_suites_unless_some_are_named() {
        let of = |list: &str| {
            let suites = Ciphers::parse(list).unwrap().suites;
            suites.into_iter().filter(|s| s.is_tls13()).collect::<Vec<_>>()
        };
        assert_eq!(of("HIGH").len(), 3);
        assert_eq!(of("TLS_AES_256_GCM_SHA384:HIGH"), [CipherSuite::Tls13Aes256Gcm]);
        assert_eq!(of("HIGH:!TLS_CHACHA20_POLY1305_SHA256").len(), 2);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for (list, title, help) in [
            ("HIHG", "\"HIHG\" is no cipher suite, nor a kind of them", "did you mean HIGH?"),
            ("ECDHE+AESGMC", "\"AESGMC\" is no cipher suite, nor a kind of them", "did you mean AESGCM?"),
            (
                "HIGH:!TLS_AES_128_GCM_SHA256:!TLS_AES_256_GCM_SHA384:!TLS_CHACHA20_POLY1305_SHA256:!ALL",
                "\"HIGH:!TLS_AES_128_GCM_SHA256:!TLS_AES_256_GCM_SHA384:!TLS_CH…\" leaves no cipher suite",
                "there are: TLS_AES_128_GCM_SHA256",
            ),
        ] {
            let complaint = Ciphers::parse(list).unwrap_err();
            assert_eq!(complaint.title, title);
            assert!(complaint.help.unwrap().starts_with(help));
        }
    }

    /// OpenSSL's own opinion, where there is an `openssl`.
    #[test]
    fn openssl_agrees() {
        for list in
            ["HIGH:!aNULL:!MD5", "ECDHE+AESGCM:ECDHE+CHACHA20", "ALL:!aRSA:+AES128", "EECDH+AES:!SHA", "HIGH:!SHA384"]
        {
            let Ok(asked) = std::process::Command::new("openssl").args(["ciphers", "-s", "-tls1_2", list]).output()
            else {
                return;
            };
            let theirs = String::from_utf8(asked.stdout).unwrap();
            let mut theirs: Vec<&str> =
                theirs.trim().split(':').filter(|name| CipherSuite::ALL.iter().any(|s| s.name() == *name)).collect();
            let ours = Ciphers::parse(list).unwrap().suites;
            let mut ours: Vec<&str> = ours.iter().filter(|s| !s.is_tls13()).map(|s| s.name()).collect();
            theirs.sort_unstable();
            ours.sort_unstable();
            assert_eq!(ours, theirs, "{list}");
        }
    }
}
