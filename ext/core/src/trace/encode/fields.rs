//! Fields of Protobuf messages.

use crate::export::protobuf::{begin, key, varint};
use prost::encoding::WireType;

/// A text or bytes that stand even where they are empty.
pub(super) fn chosen_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    begin(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// A number that stands even where it is zero.
pub(super) fn chosen_number(field: u32, number: u64, out: &mut Vec<u8>) {
    key(field, WireType::Varint, out);
    varint(number, out);
}

pub(super) fn number(field: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        chosen_number(field, number, out);
    }
}

pub(super) fn text(field: u32, text: &str, out: &mut Vec<u8>) {
    bytes(field, text.as_bytes(), out);
}

pub(super) fn bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        chosen_bytes(field, bytes, out);
    }
}

pub(super) fn fixed64(field: u32, number: u64, out: &mut Vec<u8>) {
    key(field, WireType::SixtyFourBit, out);
    out.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn fixed32(field: u32, number: u32, out: &mut Vec<u8>) {
    key(field, WireType::ThirtyTwoBit, out);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Writes a message inside of another. Its length stands before it, and is nearly always one byte.
pub(super) fn nested(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    key(field, WireType::LengthDelimited, out);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    varint(length as u64, &mut prefix);
    out.splice(at..=at, prefix);
}
