//! Header rules, and the bundles of security fields.

use crate::config::file::HeaderRulesFile;
use crate::config::model::HeaderRule;
use crate::config::value::SecurityHeaders;

/// The rules as they run: remove, set, default, add.
pub(super) fn rules(file: &HeaderRulesFile) -> Vec<HeaderRule> {
    let mut rules: Vec<HeaderRule> =
        file.remove.items.iter().map(|name| HeaderRule::Remove { name: name.0.clone() }).collect();
    for (name, values) in &file.set.0 {
        // Several values are several fields: the first replaces what is there.
        for (index, value) in values.iter().enumerate() {
            let (name, value) = (name.0.clone(), value.0.clone());
            rules.push(if index == 0 { HeaderRule::Set { name, value } } else { HeaderRule::Add { name, value } });
        }
    }
    for (name, values) in &file.default.0 {
        for value in values {
            rules.push(HeaderRule::Default { name: name.0.clone(), value: value.0.clone() });
        }
    }
    for (name, values) in &file.add.0 {
        for value in values {
            rules.push(HeaderRule::Add { name: name.0.clone(), value: value.0.clone() });
        }
    }
    rules
}

/// The rules for a bundle inside of an outer one. What the outer one sets and this one doesn't is taken out again, so
/// that the innermost bundle is what a client sees.
pub(super) fn security_rules(here: Option<SecurityHeaders>, outside: SecurityHeaders) -> Vec<HeaderRule> {
    let Some(here) = here else { return Vec::new() };
    let gone = fields(outside).filter(|(name, _)| fields(here).all(|(kept, _)| kept != *name));
    let removed = gone.map(|(name, _)| HeaderRule::Remove { name: name.to_owned() });
    let set = fields(here).map(|(name, value)| HeaderRule::Set { name: name.to_owned(), value: value.to_owned() });
    removed.chain(set).collect()
}

/// How much a bundle holds.
pub(super) fn strength(bundle: SecurityHeaders) -> usize {
    fields(bundle).count()
}

fn fields(bundle: SecurityHeaders) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (guide, strict): (&[_], &[_]) = match bundle {
        SecurityHeaders::Off => (&[], &[]),
        SecurityHeaders::Guide => (GUIDE, &[]),
        SecurityHeaders::Strict => (GUIDE, STRICT),
    };
    guide.iter().chain(strict).copied()
}

/// What deployment guides for nginx add with `add_header … always`.
pub(in crate::config) const GUIDE: &[(&str, &str)] = &[
    ("X-Frame-Options", "SAMEORIGIN"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-XSS-Protection", "1; mode=block"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Content-Security-Policy", "default-src 'self'"),
];

/// What `"strict"` sets besides.
pub(in crate::config) const STRICT: &[(&str, &str)] = &[
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(rules: &[HeaderRule]) -> usize {
        rules.iter().filter(|r| matches!(r, HeaderRule::Remove { .. })).count()
    }

    #[test]
    fn the_innermost_bundle_is_what_a_client_sees() {
        use SecurityHeaders::{Guide, Off, Strict};
        assert_eq!(security_rules(None, Strict), []);
        assert_eq!(security_rules(Some(Off), Off), []);
        for (here, outside, gone, set) in
            [(Off, Guide, 5, 0), (Guide, Strict, 5, 5), (Strict, Guide, 0, 10), (Guide, Off, 0, 5)]
        {
            let rules = security_rules(Some(here), outside);
            assert_eq!((removed(&rules), rules.len() - removed(&rules)), (gone, set), "{here:?} in {outside:?}");
        }
    }
}
