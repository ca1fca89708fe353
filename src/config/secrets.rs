//! Secrets in a configuration's text, made unreadable before anything of it is drawn.
//!
//! Also where the text isn't TOML: what isn't written rightly is still secret.

/// The keys whose values are secret.
const KEYS: &[&str] = &["secret", "hmac_key"];

/// Puts `*` in the place of every secret, byte for byte, so that places stay where they are.
pub(super) fn hide_secrets(text: &mut String) {
    KEYS.iter().for_each(|key| hide_values(text, key));
}

fn hide_values(text: &mut String, key: &str) {
    let mut shown = 0;
    while let Some(found) = text[shown..].find(key) {
        let start = shown + found;
        shown = start + key.len();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if text[..start].ends_with(is_part) {
            continue;
        }
        let after = text[shown..].trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
        let Some(value) = after.strip_prefix('=') else { continue };
        let value = value.trim_start_matches([' ', '\t']);
        let Some(first) = value.chars().next().map(char::len_utf8) else { return };
        let at = text.len() - value.len();
        let range = at + first..at + secret_length(value).max(first);
        shown = range.end;
        if !is_variable(&text[range.clone()]) {
            let hidden: String = text[range.clone()].bytes().map(|b| if b == b'\n' { '\n' } else { '*' }).collect();
            text.replace_range(range, &hidden);
        }
    }
}

/// The name of a variable is no secret. What stands in for it where it isn't set is one, and so is what stands beside it.
fn is_variable(value: &str) -> bool {
    let name = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

/// How long a value is, without its closing quotes; an unquoted or open one reaches to the end of the line.
fn secret_length(value: &str) -> usize {
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inner) = value.strip_prefix(quotes) {
            return quotes.len() + inner.find(quotes).unwrap_or(inner.len());
        }
    }
    let line = value.lines().next().unwrap_or_default();
    let quote = match line.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => *quote,
        _ => return line.len(),
    };
    let mut escaped = false;
    let closing = line.bytes().skip(1).position(|byte| {
        let closes = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped && quote == b'"';
        closes
    });
    closing.map_or(line.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_key_of_the_schema_is_hidden() {
        fn secret_keys(schema: &serde_json::Value, found: &mut Vec<String>) {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                if property["writeOnly"] == true && !found.contains(key) {
                    found.push(key.clone());
                }
            }
            match schema {
                serde_json::Value::Object(object) => object.values().for_each(|inner| secret_keys(inner, found)),
                serde_json::Value::Array(items) => items.iter().for_each(|inner| secret_keys(inner, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        secret_keys(&crate::config::schema::json_schema(), &mut found);
        found.sort();
        let mut hidden = KEYS.to_vec();
        hidden.sort_unstable();
        assert_eq!(found, hidden);
    }

    #[test]
    fn secrets_are_never_drawn() {
        for (written, drawn) in [
            ("secret = \"hunter2\"", "secret = \"*******\""),
            ("sticky = { secret = 'hun\"ter2', a = 1 }", "sticky = { secret = '********', a = 1 }"),
            ("sticky.secret=\"hunter\\\"2\"#", "sticky.secret=\"*********\"#"),
            ("\"secret\" = \"\"\"hunter\n2\"\"\" #", "\"secret\" = \"********\n*\"\"\" #"),
            ("secret = äöü", "secret = ä****"),
            ("secret = hunter2\nb = 1", "secret = h******\nb = 1"),
            ("secret = \"hunter2\nb = 1", "secret = \"*******\nb = 1"),
            ("secret = \"hünter2\"", "secret = \"********\""),
            ("secret = \"${SECRET}\"", "secret = \"${SECRET}\""),
            ("secret = \"${SECRET:-hunter2}\"", "secret = \"******************\""),
            ("secret = \"${SALT}hunter2\"", "secret = \"**************\""),
            ("secret = \"${SALT}hunter2${SALT}\"", "secret = \"*********************\""),
            ("secret_file = \"a\" # the secret is", "secret_file = \"a\" # the secret is"),
            ("secret =", "secret ="),
            ("{ hmac_key = \"hunter2\" }", "{ hmac_key = \"*******\" }"),
            ("hmac_key_file = \"a\"", "hmac_key_file = \"a\""),
        ] {
            let mut text = written.to_owned();
            hide_secrets(&mut text);
            assert_eq!(text, drawn);
            assert_eq!(text.len(), written.len());
        }
    }
}
