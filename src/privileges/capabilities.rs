//! Capabilities: what remains of root's rights.

use rustix::io::Result;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// Binding ports below 1024, so that a reload can add one. Nothing else is kept.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;

/// Gives up everything but [`KEPT`], and that as well if it isn't there. Programs that are run inherit nothing.
pub(super) fn keep_binding() -> Result<()> {
    let kept = capabilities(None)?.permitted & KEPT;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })?;
    clear_ambient_capability_set()
}

/// What is taken from the bounding set can't be had again by any program, whatever its file says.
pub(super) fn bound() -> Result<()> {
    for capability in CapabilitySet::all().difference(KEPT) {
        // A kernel that doesn't know it says so.
        if capability_is_in_bounding_set(capability) == Ok(true) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    Ok(())
}
