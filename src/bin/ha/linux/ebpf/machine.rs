//! A machine that runs programs in tests: stricter than the kernel's, since it forgets what a call may change.

use super::{Instruction, Program};

/// What a program sees.
#[derive(Debug)]
pub struct Machine<'a> {
    pub frame: &'a [u8],
    /// Of the socket that sends the frame.
    pub uid: u32,
    pub now_ns: u64,
    /// The number that it shares.
    pub number: u64,
}

/// Where stack and number are.
const STACK_END: u64 = 0x1_0000;
const NUMBER: u64 = 0x2_0000;
const LEN: usize = 512;

impl Machine<'_> {
    /// What the program returns.
    pub fn run<const N: usize, const SLOTS: usize>(&mut self, program: &Program<N, SLOTS>) -> i32 {
        let mut registers = [None; 11];
        registers[1] = Some(0);
        registers[10] = Some(STACK_END);
        let mut stack = [None; LEN];
        let mut at = 0;
        loop {
            let Instruction { code, registers: pair, offset, immediate } = program.instructions[at];
            let (low, high) = (usize::from(pair & 15), usize::from(pair >> 4));
            let (to, from) = if cfg!(target_endian = "big") { (high, low) } else { (low, high) };
            let signed = i64::from(immediate).cast_unsigned();
            let value = |register: usize| registers[register].expect("it is set");
            let address = |register: usize| value(register).wrapping_add_signed(offset.into());
            let mut takes_jump = false;
            match code {
                0xbf => registers[to] = Some(value(from)),
                0xb7 => registers[to] = Some(signed),
                0x07 => registers[to] = Some(value(to).wrapping_add(signed)),
                0x0f => registers[to] = Some(value(to).wrapping_add(value(from))),
                0x57 => registers[to] = Some(value(to) & signed),
                0x67 => registers[to] = Some(value(to) << immediate),
                0x18 => {
                    let high = u64::from(program.instructions[at + 1].immediate.cast_unsigned()) << 32;
                    let constant = high | u64::from(immediate.cast_unsigned());
                    registers[to] = Some(if from == 2 { NUMBER } else { constant });
                    at += 1;
                }
                0x71 => registers[to] = Some(load::<1>(&stack, address(from))[0].into()),
                0x69 => registers[to] = Some(u16::from_ne_bytes(load(&stack, address(from))).into()),
                0x61 => registers[to] = Some(u32::from_ne_bytes(load(&stack, address(from))).into()),
                0x79 => {
                    assert_eq!(address(from), NUMBER);
                    registers[to] = Some(self.number);
                }
                0x7b | 0x7a => {
                    assert_eq!(address(to), NUMBER);
                    self.number = if code == 0x7b { value(from) } else { signed };
                }
                0x85 => {
                    let arguments = registers;
                    let argument = |number: usize| arguments[number].expect("it is given");
                    registers[..6].fill(None);
                    registers[0] = Some(match immediate {
                        26 => {
                            let [start, place, len] =
                                [2, 3, 4].map(argument).map(|number| usize::try_from(number).unwrap());
                            let place = place + LEN - usize::try_from(STACK_END).unwrap();
                            let read = self.frame.get(start..start + len);
                            let bytes: Vec<_> = read.map_or(vec![0; len], <[u8]>::to_vec);
                            stack[place..place + len].copy_from_slice(&bytes.into_iter().map(Some).collect::<Vec<_>>());
                            if read.is_some() { 0 } else { u64::MAX }
                        }
                        47 => self.uid.into(),
                        125 => self.now_ns,
                        other => panic!("no function {other}"),
                    });
                }
                0x95 => return low_word(value(0)).cast_signed(),
                0x05 => takes_jump = true,
                0x16 => takes_jump = low_word(value(to)) == immediate.cast_unsigned(),
                0x56 => takes_jump = low_word(value(to)) != immediate.cast_unsigned(),
                0x2d => takes_jump = value(to) > value(from),
                other => panic!("no instruction {other:#x}"),
            }
            at += 1;
            if takes_jump {
                assert!(offset >= 0, "a jump that was never set, or back");
                at += usize::try_from(offset).unwrap();
            }
        }
    }
}

fn low_word(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("it was cut")
}

/// Aligned, and only what was written.
fn load<const N: usize>(stack: &[Option<u8>; LEN], address: u64) -> [u8; N] {
    assert_eq!(address % N as u64, 0, "it is aligned");
    let start = usize::try_from(address + LEN as u64 - STACK_END).unwrap();
    std::array::from_fn(|at| stack[start + at].expect("it was written"))
}
