//! Configurations: no text ends the loader, no complaint shows a secret, and what loads once loads again the same.

use tidegate::config::load::load_str;
use tidegate::config::machine::Nowhere;
use tidegate::config::worst_case_memory;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Files and variables of this machine are none of the fuzzer's.
    if ["include", "file", "_FILE", "${"].iter().any(|word| text.contains(word)) {
        return;
    }
    match load_str("/nowhere/fuzz.toml", text, &Nowhere) {
        Ok(loaded) => {
            let again = load_str("/nowhere/fuzz.toml", text, &Nowhere);
            assert!(again.is_ok_and(|again| again.config == loaded.config));
            worst_case_memory(&loaded.config);
            let _ = loaded.warnings.render(true);
        }
        Err(errors) => assert!(!errors.render(false).is_empty()),
    }
}
