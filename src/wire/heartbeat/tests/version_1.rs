//! A packet of version 1, which is named and refused.

/// Version 1, written by hand; not to be edited. Signed with the public constant.
#[rustfmt::skip]
pub const GOLDEN: [u8; 93] = [
    b'h', b'a',                                                         // magic
    1,                                                                  // version
    1,                                                                  // kind: claim
    7,                                                                  // group
    0,                                                                  // state: standby
    0b0000_1001,                                                        // flags: settled, ready
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
    0xb7, 0x8b, 0x4e, 0x37, 0xff, 0x93, 0xf5, 0xa6, 0xfe, 0x61, 0x74, 0x2b, 0x62, 0x80, 0x15, 0x24,
];
