//! A place in the store for a certificate that comes and goes while the process runs.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::load::LoadedCertificate;

/// One certificate that is replaced without a reload. Handshakes under way finish with what they have.
#[derive(Debug, Default)]
pub struct Slot {
    certificate: ArcSwapOption<Held>,
}

#[derive(Debug)]
struct Held {
    certificate: Arc<LoadedCertificate>,
    /// Nobody vouches for it: it stands in until there is one.
    stands_in: bool,
}

impl Slot {
    pub fn put(&self, certificate: LoadedCertificate) {
        self.certificate.store(Some(Arc::new(Held { certificate: Arc::new(certificate), stands_in: false })));
    }

    /// Puts one that nobody vouches for, unless there is one already.
    pub fn put_stand_in(&self, certificate: LoadedCertificate) {
        if self.certificate.load().is_none() {
            self.certificate.store(Some(Arc::new(Held { certificate: Arc::new(certificate), stands_in: true })));
        }
    }

    /// What is shown to clients.
    pub fn certificate(&self) -> Option<Arc<LoadedCertificate>> {
        self.certificate.load().as_ref().map(|held| Arc::clone(&held.certificate))
    }

    /// What a CA has issued.
    pub fn issued(&self) -> Option<Arc<LoadedCertificate>> {
        self.certificate.load().as_ref().filter(|held| !held.stands_in).map(|held| Arc::clone(&held.certificate))
    }
}
