//! Permissions of a file.

use serde_json::{Value as Json, json};

use super::{Complaint, Text};

/// As `chmod` takes them: "0660".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileMode(pub(crate) u32);

impl Text for FileMode {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "permissions such as \"0660\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let digits = text.strip_prefix('0').unwrap_or(text);
        let octal = digits.len() == 3 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        match u32::from_str_radix(digits, 8).ok().filter(|_| octal) {
            Some(mode) => Ok(Self(mode)),
            None => Err(Complaint::is_not(text, "the permissions of a file").help("write them like \"0660\"")),
        }
    }

    fn json() -> Json {
        json!({ "type": "string", "pattern": "^0?[0-7]{3}$", "examples": ["0660"] })
    }
}

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn permissions_are_three_octal_digits() {
        assert_parses(
            |mode: FileMode| mode.0,
            &[("0660", 0o660), ("666", 0o666)],
            &[
                ("rw", "\"rw\" is not the permissions of a file"),
                ("0x1b0", "\"0x1b0\" is not the permissions of a file"),
                ("0689", "\"0689\" is not the permissions of a file"),
                ("4660", "\"4660\" is not the permissions of a file"),
                ("+66", "\"+66\" is not the permissions of a file"),
            ],
        );
    }
}
