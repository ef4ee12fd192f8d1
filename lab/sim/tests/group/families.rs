//! Stories with shared addresses of IPv6: what a client believes, address by address.

use ha_sim::fault::What;
use ha_sim::settings::Families;

use crate::lan::Lan;

const ALL: [Families; 4] = [Families::V4, Families::V6, Families::V4AndV6, Families::V6AndV4];

/// Three nodes with these addresses, 10 s after their start; the first is the most worthy.
fn settled(families: Families) -> Lan {
    let mut lan = Lan::with(&[300, 200, 100], |node| node.settings.families = families);
    lan.settle();
    lan
}

/// What the client believes if all addresses are at this hardware address.
fn all_at(families: Families, mac: &str) -> Vec<(String, String)> {
    let mut entries: Vec<_> =
        families.addresses().iter().map(|address| (address.to_string(), mac.to_owned())).collect();
    entries.sort();
    entries
}

#[test]
fn a_client_follows_every_address_whatever_its_family() {
    for families in ALL {
        let mut lan = settled(families);
        assert_eq!(lan.entries(), all_at(families, "0x100"), "{families:?}: the nodes know that it uses them");
        lan.cut_power(0);
        lan.run(10_000);
        assert_eq!((lan.owners(), lan.entries()), (vec![1], all_at(families, "0x200")), "{families:?}");
        lan.start(0);
        lan.run(10_000);
        assert_eq!((lan.owners(), lan.entries()), (vec![0], all_at(families, "0x100")), "{families:?}");
    }
}

#[test]
fn a_stranger_that_says_it_has_the_addresses_is_contradicted_in_either_family() {
    for families in ALL {
        let mut lan = settled(families);
        lan.run(30_000);
        lan.cut(What::Claim);
        assert_eq!(lan.entries(), all_at(families, "0xbad"), "{families:?}");
        lan.run(1);
        assert_eq!(lan.entries(), all_at(families, "0x100"), "{families:?}");
        assert!(lan.has_noted("conflict: 00:00:00:00:0b:ad (no node that is known) says that it has"), "{families:?}");
    }
}

#[test]
fn a_frozen_owner_is_waited_for_while_its_kernel_replies_in_either_family() {
    for families in ALL {
        let mut lan = settled(families);
        lan.freeze(0);
        lan.run(10_000);
        assert!(!lan.has_had_two_owners, "{families:?}: {:?}", lan.history);
        assert_eq!((lan.owners(), lan.entries()), (vec![1], all_at(families, "0x200")), "{families:?}");
    }
}
