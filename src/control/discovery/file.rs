//! Endpoints that a file lists.

use std::path::{Path, PathBuf};

use super::watch::Watch;
use super::{Answer, LookError, Source, Stamp};
use crate::config::{Address, load_endpoints};
use crate::upstream::Found;

/// An `endpoints_file`.
pub(super) struct EndpointsFile {
    path: PathBuf,
    watch: Watch,
}

impl EndpointsFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { watch: Watch::new(path.clone()), path }
    }
}

impl Source for EndpointsFile {
    async fn look(&mut self, _: &[Found]) -> Result<Answer, LookError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || (Stamp::of(&path), list(&path))).await;
        let (stamp, listed) = read.map_err(|error| LookError::File(error.to_string()))?;
        self.watch.note(stamp);
        Ok(Answer { found: listed?, ttl: None, flaw: None })
    }

    async fn changed(&mut self) {
        self.watch.changed().await;
    }
}

fn list(path: &Path) -> Result<Vec<Found>, LookError> {
    let endpoints = load_endpoints(path).map_err(|diagnostics| LookError::File(diagnostics.in_one_line()))?;
    let found = endpoints.into_iter().filter_map(|endpoint| {
        let address: Address = endpoint.address.parse().ok()?;
        Some(Found {
            address,
            weight: Some(endpoint.weight),
            max_conns: endpoint.max_conns,
            backup: endpoint.backup,
            down: endpoint.down,
            zone: endpoint.zone,
        })
    });
    Ok(found.collect())
}
