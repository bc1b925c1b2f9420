//! Messages inside of messages, in Protobuf.

use prost::encoding::{encode_key, encode_varint, WireType};

/// Appends the head of a field of so many bytes: a message, a text, or bytes.
pub(crate) fn begin(field: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}
