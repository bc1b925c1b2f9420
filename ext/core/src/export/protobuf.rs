//! What Protobuf's messages are made of. Every span is written with it where it ends, so it must come to a few instructions.

use prost::encoding::WireType;

/// Appends a number of base 128. Nearly all take one byte.
#[inline]
pub(crate) fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends what stands before a field's value.
#[inline]
pub(crate) fn key(field: u32, wire: WireType, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | wire as u32), out);
}

/// Appends the head of a field of so many bytes: a message, a text, or bytes.
#[inline]
pub(crate) fn begin(field: u32, length: usize, out: &mut Vec<u8>) {
    key(field, WireType::LengthDelimited, out);
    varint(length as u64, out);
}
