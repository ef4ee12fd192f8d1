//! Packets of version 2.

use super::super::LEN;

/// Version 2, written by hand; not to be edited. Signed with the public constant, for 239.2.3.4:5555.
#[rustfmt::skip]
pub const GOLDEN: [u8; LEN] = [
    b'h', b'a',                                                         // magic
    2,                                                                  // version
    1,                                                                  // kind: claim
    7,                                                                  // group
    0,                                                                  // state: standby
    0b0000_1001, 0,                                                     // flags: settled, ready
    0x02, 0x01,                                                         // release 1.2
    0x2c, 0x01,                                                         // worthiness 300
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 20,          // node
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 10,          // following
    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,                     // boot
    0x2a, 0, 0, 0, 0, 0, 0, 0,                                          // seq 42
    0x40, 0x42, 0x0f, 0x00,                                             // interval 1 s
    0xe0, 0x67, 0x35, 0x00,                                             // hold 3.5 s
    0x78, 0x56, 0x34, 0x12,                                             // addresses
    0x0d, 0x0c, 0x0b, 0x0a, 0, 0, 0, 0,                                 // nonce
    // tag, as Python's hmac module computes it
    0x33, 0x49, 0x5f, 0x97, 0x81, 0xd9, 0x49, 0x98, 0x1e, 0x3c, 0x76, 0x73, 0x36, 0xe1, 0x7d, 0x3f,
];

/// The tag of the same packet where its group's heartbeats go to 239.2.3.4:5556.
pub const TAG_ELSEWHERE: [u8; 16] =
    [0xe7, 0xf8, 0x71, 0xd3, 0x1e, 0x78, 0x94, 0x4b, 0x32, 0x4f, 0x79, 0xfe, 0xd6, 0xd6, 0x95, 0xa1];
