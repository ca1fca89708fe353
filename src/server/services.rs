//! pingora services: the data plane, and what runs beside it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::{ServiceReadyNotifier, ServiceWithDependents};

use super::signals::notify_supervisor;
use super::{Instance, Ready};

type OnReady = Box<dyn FnOnce(&Ready) + Send>;

/// Starts the workers; they run on their own threads.
pub(super) struct DataPlane {
    instance: Arc<Instance>,
    on_ready: Mutex<Option<OnReady>>,
}

impl DataPlane {
    pub(super) fn new(instance: Arc<Instance>, on_ready: impl FnOnce(&Ready) + Send + 'static) -> Self {
        Self { instance, on_ready: Mutex::new(Some(Box::new(on_ready))) }
    }
}

#[async_trait]
impl ServiceWithDependents for DataPlane {
    async fn start_service(
        &mut self,
        _: Option<ListenFds>,
        mut shutdown: ShutdownWatch,
        _: usize,
        ready: ServiceReadyNotifier,
    ) {
        if let Err(error) = self.instance.start_workers() {
            tracing::error!(%error, "the workers can't start");
            return self.instance.fail();
        }
        ready.notify_ready();
        notify_supervisor(&[sd_notify::NotifyState::Ready]);
        if let Some(on_ready) = self.on_ready.lock().unwrap_or_else(PoisonError::into_inner).take() {
            on_ready(&self.instance.ready());
        }
        // The end comes by the signal watch, which has the workers drained first.
        let _ = shutdown.changed().await;
    }

    fn name(&self) -> &str {
        "data plane"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

/// The metrics endpoint, the resolution of names and the discovery of endpoints.
pub(super) struct Control {
    instance: Arc<Instance>,
}

impl Control {
    pub(super) fn new(instance: Arc<Instance>) -> Self {
        Self { instance }
    }
}

#[async_trait]
impl ServiceWithDependents for Control {
    async fn start_service(
        &mut self,
        _: Option<ListenFds>,
        mut shutdown: ShutdownWatch,
        _: usize,
        ready: ServiceReadyNotifier,
    ) {
        self.instance.find_endpoints().await;
        ready.notify_ready();
        tokio::select! {
            () = self.instance.run_control() => {}
            _ = shutdown.changed() => {}
        }
    }

    fn name(&self) -> &str {
        "control"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}
