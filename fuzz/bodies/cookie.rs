//! Cookies: what is found is what splitting finds.

use tidegate::http::head::Fields;
use tidegate::upstream::cookie;

pub fn run(data: &[u8]) {
    let mut fields = Fields::default();
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').take(8).collect();
    lines.iter().for_each(|line| fields.push(b"Cookie", line));
    for name in ["a", "route", "__Host-a"] {
        let mut found = None;
        for pair in lines.iter().flat_map(|line| line.split(|byte| *byte == b';')) {
            let pair = pair.trim_ascii();
            if let Some(at) = pair.iter().position(|byte| *byte == b'=')
                && &pair[..at] == name.as_bytes()
                && found.is_none()
            {
                found = Some(&pair[at + 1..]);
            }
        }
        assert_eq!(cookie(&fields, name), found);
    }
}
