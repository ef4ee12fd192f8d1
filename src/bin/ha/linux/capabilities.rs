//! Capabilities (capabilities(7)).

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

/// Neither this process nor a program that it becomes gets a capability again that is not one of `kept`.
pub fn drop_bounding_set(kept: CapabilitySet) {
    // Those without a name, too; with them come the names of all.
    for capability in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
        if !kept.contains(capability) {
            // A process that may not do this has no privileges to lose by it, and a capability that this kernel does not know
            // it does not give.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
}
