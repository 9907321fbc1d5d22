//! How a program for Linux is linked, from its ELF header: little-endian, 32 or 64 bits.
//!
//! It reads what it needs to know whether a program starts without anything of the system, and no more.

use std::fmt;

/// How a program is linked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Linkage {
    /// It starts by itself, on any Linux.
    Static,
    /// It needs this program of the system's C library.
    Dynamic(String),
}

impl fmt::Display for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static => write!(f, "static"),
            Self::Dynamic(interpreter) => write!(f, "dynamic, {interpreter}"),
        }
    }
}

/// The program header that names the dynamic linker.
const INTERPRETER: u64 = 3;

/// None if it is no program of this form.
pub(super) fn linkage(bytes: &[u8]) -> Option<Linkage> {
    let is_64 = match bytes.get(..6)? {
        b"\x7fELF\x01\x01" => false,
        b"\x7fELF\x02\x01" => true,
        _ => return None,
    };
    // Offsets of elf(5): e_phoff, e_phentsize, e_phnum; p_offset and p_filesz within a header.
    let word = if is_64 { 8 } else { 4 };
    let (table, entry_size, count) = if is_64 { (32, 54, 56) } else { (28, 42, 44) };
    let (offset, size) = if is_64 { (8, 32) } else { (4, 16) };
    let start = number(bytes, table, word)?;
    let (entry_size, count) = (number(bytes, entry_size, 2)?, number(bytes, count, 2)?);
    for index in 0..count {
        let header = usize::try_from(start.checked_add(index * entry_size)?).ok()?;
        if number(bytes, header, 4)? != INTERPRETER {
            continue;
        }
        let from = usize::try_from(number(bytes, header + offset, word)?).ok()?;
        let length = usize::try_from(number(bytes, header + size, word)?).ok()?;
        let path = bytes.get(from..from.checked_add(length)?)?;
        let path = String::from_utf8_lossy(path);
        return Some(Linkage::Dynamic(path.trim_end_matches('\0').to_owned()));
    }
    Some(Linkage::Static)
}

/// The number of so many bytes at an offset.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_the_systems_c_library() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let Some(Linkage::Dynamic(interpreter)) = linkage(&bytes) else { panic!("it does not") };
        assert!(std::path::Path::new(&interpreter).exists(), "{interpreter}");
    }

    #[test]
    fn a_program_without_an_interpreter_is_static() {
        // A header of 64 bytes with one program header after it, of another kind.
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (bytes[32], bytes[54], bytes[56], bytes[64]) = (64, 56, 1, 1);
        assert_eq!(linkage(&bytes), Some(Linkage::Static));
        bytes[64] = 3;
        assert_eq!(linkage(&bytes), Some(Linkage::Dynamic(String::new())));
        bytes.truncate(70);
        assert_eq!(linkage(&bytes), None);
        assert_eq!(linkage(b"#!/bin/sh"), None);
    }
}
