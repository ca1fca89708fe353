//! `tidegate bench diff`: two reports side by side.

use std::path::{Path, PathBuf};

use crate::bench::diff::{Report, compare, table};
use crate::cli::{FAILED, text};

#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// The report.json from before
    old: PathBuf,
    /// The report.json from after
    new: PathBuf,
}

impl Diff {
    /// 0 whatever changed: what is a regression is for people, or for a threshold, to say. 1 for a file that is no report.
    pub(super) fn perform(&self) -> u8 {
        match (read(&self.old), read(&self.new)) {
            (Some(old), Some(new)) => {
                let (changes, unmatched) = compare(&old, &new);
                text::print(table(&changes, unmatched).as_bytes())
            }
            _ => FAILED,
        }
    }
}

fn read(path: &Path) -> Option<Report> {
    let report = std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| Report::parse(&text).map_err(|fault| fault.to_string()));
    report.inspect_err(|fault| eprintln!("error: {}: {fault}", path.display())).ok()
}
