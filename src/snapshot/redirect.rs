//! Redirects, taken apart when the configuration is compiled.

/// A redirect taken apart at load.
#[derive(Debug)]
pub struct Redirect {
    pub status: u16,
    pub parts: Vec<RedirectPart>,
}

impl Redirect {
    pub(super) fn to(status: u16, template: &str) -> Self {
        Self { status, parts: redirect_parts(template) }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum RedirectPart {
    Text(String),
    Scheme,
    Host,
    /// Raw path and query.
    Uri,
    Path,
    Query,
}

/// Splits `https://{host}{uri}` into text and places. Unknown places stay text: checking has refused them.
fn redirect_parts(template: &str) -> Vec<RedirectPart> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let Some(end) = rest[start..].find('}').map(|end| start + end) else { break };
        let part = match &rest[start + 1..end] {
            "scheme" => RedirectPart::Scheme,
            "host" => RedirectPart::Host,
            "uri" => RedirectPart::Uri,
            "path" => RedirectPart::Path,
            "query" => RedirectPart::Query,
            _ => RedirectPart::Text(rest[start..=end].to_owned()),
        };
        if start > 0 {
            parts.push(RedirectPart::Text(rest[..start].to_owned()));
        }
        parts.push(part);
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(RedirectPart::Text(rest.to_owned()));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_split_into_text_and_places() {
        use RedirectPart::{Host, Text, Uri};
        assert_eq!(
            redirect_parts("https://{host}:8443{uri}"),
            [Text("https://".into()), Host, Text(":8443".into()), Uri]
        );
        assert_eq!(redirect_parts("/new"), [Text("/new".into())]);
    }
}
