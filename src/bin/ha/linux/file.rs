//! Files that are read or written at one go. By rustix: std's way into them is 10 KB longer.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use rustix::io::{self, Errno};

/// Opens `path`, which has to exist.
pub fn open(path: &str, access: OFlags) -> io::Result<OwnedFd> {
    rustix::fs::open(&*name(path)?, access | OFlags::CLOEXEC, Mode::empty())
}

/// A path as the kernel wants it. Made once, here, and not by each function of rustix that takes one.
pub fn name(path: &str) -> io::Result<CString> {
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// Fills `buffer` from `fd` as far as there is something left; how many bytes that were.
pub fn fill(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::read(&fd, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// What is left of `fd`.
///
/// # Errors
/// `ILSEQ`: it is no text in UTF-8. `FBIG`: it has more than 1 MiB.
pub fn read(fd: impl AsFd) -> io::Result<String> {
    String::from_utf8(read_bytes(fd)?).map_err(|_| Errno::ILSEQ)
}

fn read_bytes(fd: impl AsFd) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        bytes.reserve_exact(1_024);
        match rustix::io::read(&fd, spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(bytes),
            Ok(_) if bytes.len() > LIMIT => return Err(Errno::FBIG),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The text of the file `path`; see [`read`].
pub fn read_from(path: &str) -> io::Result<String> {
    read(open(path, OFlags::RDONLY)?)
}

/// The same for a file of another program, of which only the ASCII characters matter.
pub fn read_lossy(path: &str) -> io::Result<String> {
    let mut bytes = read_bytes(open(path, OFlags::RDONLY)?)?;
    bytes.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
    String::from_utf8(bytes).map_err(|_| Errno::ILSEQ)
}

/// Writes all of `text` to what is open.
pub fn write(fd: impl AsFd, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(&fd, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Of a text; far more than any of ours needs, and far less than it takes to hurt.
const LIMIT: usize = 1 << 20;
