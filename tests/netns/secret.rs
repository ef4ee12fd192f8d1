//! Where the secret is: in no process as it stands in the file, and what signs with it in one place of the worker.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};

use hmac::{Hmac, KeyInit, Mac};
use rustix::process::Signal;
use sha2::Sha256;

use crate::daemon::Daemon;
use crate::group::KeyFile;
use crate::lan::Lan;
use crate::program;

tests![the_keeper_has_no_key_and_the_worker_what_signs_once,];

/// At the start, when all has been said and heard for a while, and when keys were read again.
fn the_keeper_has_no_key_and_the_worker_what_signs_once() {
    let lan = Lan::new();
    let keys = [secret(97), secret(11)];
    let file = KeyFile::new("secret", "00");
    let write = |keys: &[[u8; 32]]| {
        let lines: Vec<_> = keys.iter().map(digits).collect();
        fs::write(file.path(), lines.join("\n")).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(&keys[..1]);
    let options = ["--key-file", file.path()];
    let daemon = Daemon::fast(&lan.a, &options);
    daemon.says("active: ");
    let _other = Daemon::fast(&lan.b, &options);
    daemon.says("10.0.0.12 heard for the first time");
    daemon.signal(Signal::USR1);
    daemon.says("bytes of memory");
    check("at the start", &daemon, &[(&keys[0], 1), (&keys[1], 0)]);
    write(&keys);
    daemon.signal(Signal::HUP);
    daemon.says("keys read again");
    check("two keys", &daemon, &[(&keys[0], 1), (&keys[1], 1)]);
    write(&keys[1..]);
    daemon.signal(Signal::HUP);
    daemon.says("keys read again");
    check("the first one is taken out", &daemon, &[(&keys[0], 0), (&keys[1], 1)]);
    assert!(count(&memory(daemon.pid()), b"10.0.0.100") > 0, "the search finds what is there");
}

/// How often what signs with each of these keys is in the worker; the keys themselves are nowhere.
fn check(when: &str, daemon: &Daemon, keys: &[(&[u8; 32], usize)]) {
    let [keeper, worker] = [daemon.pid(), daemon.worker()].map(memory);
    let mut wrong = Vec::new();
    for (number, (key, times)) in keys.iter().enumerate() {
        let signing = signing_key(key);
        let mut nowhere =
            vec![("state of the key", state_after(key, 0x36)), ("state of the key", state_after(key, 0x5c))];
        // As it is, and as HMAC begins with it (RFC 2104).
        for pad in [0, 0x36, 0x5c] {
            let padded = |bytes: &[u8]| bytes.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
            let digits = padded(&digits(key).as_bytes()[..32]);
            nowhere.extend([("digits", digits), ("key", padded(&key[..])), ("signing key", padded(&signing))]);
        }
        for (what, needle) in nowhere {
            let found = [&keeper, &worker].map(|memory| count(memory, &needle));
            wrong.extend(
                Some(found).filter(|&found| found != [0, 0]).map(|found| format!("{what} {number}: {found:?}")),
            );
        }
        for pad in [0x36, 0x5c] {
            let found = [&keeper, &worker].map(|memory| count(memory, &state_after(&signing, pad)));
            // A program that is not optimized copies what it hands on.
            let is_right = if is_optimized() { found == [0, *times] } else { found[0] == 0 && found[1] >= *times };
            wrong.extend((!is_right).then(|| format!("what signs by key {number}: {found:?}, expected {times}")));
        }
    }
    assert!(wrong.is_empty(), "{when}, keeper and worker: {wrong:#?}");
}

/// The program under test is one that was built to be installed.
fn is_optimized() -> bool {
    !program().contains("/debug/")
}

fn secret(salt: usize) -> [u8; 32] {
    std::array::from_fn(|index| ((index * 7 + salt) % 256).to_le_bytes()[0] ^ 0x5a)
}

fn digits(key: &[u8; 32]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of group 1 at 239.2.3.4:5555, see docs/protocol.md.
fn signing_key(secret: &[u8; 32]) -> [u8; 32] {
    let context = b"ha 2\x01\0\0\0\0\0\0\0\0\0\0\xff\xff\xef\x02\x03\x04\xb3\x15";
    Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(context).finalize().into_bytes().into()
}

/// What SHA-256 has come to behind a padded key: to have it is as good as to have the key.
fn state_after(key: &[u8; 32], pad: u8) -> Vec<u8> {
    let mut block = [pad; 64];
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    let mut state =
        [0x6a09_e667_u32, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    sha2::block_api::compress256(&mut state, &[block]);
    state.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// What the process can write, without pages that are empty.
fn memory(pid: u32) -> Vec<u8> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let number = |digits| u64::from_str_radix(digits, 16).unwrap();
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let (from, to) = (number(from), number(to));
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            found.extend(bytes.chunks(4_096).filter(|page| **page != [0; 4_096]).flatten());
        }
    }
    found
}

fn count(memory: &[u8], needle: &[u8]) -> usize {
    let begins = |at: &usize| memory[*at] == needle[0] && memory[*at..].starts_with(needle);
    (0..memory.len()).filter(begins).count()
}
