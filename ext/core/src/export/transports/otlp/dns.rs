//! As much of DNS as it takes to find the addresses of a host: questions and answers as bytes.

use std::net::IpAddr;

/// Type of an IPv4 address record.
pub(super) const A: u16 = 1;
/// Type of an IPv6 address record.
pub(super) const AAAA: u16 = 28;
const INTERNET: u16 = 1;
const HEADER: usize = 12;

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Addresses; none where the name has none of that type.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    Unknown,
    /// The answer does not fit into a datagram.
    Truncated,
    /// The server cannot tell.
    Failed,
}

/// The question for records of one type; `None` for what cannot be a name.
pub(super) fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    message.extend_from_slice(&id.to_be_bytes());
    // Recursion is wanted; one question.
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&INTERNET.to_be_bytes());
    Some(message)
}

/// The reply to a question; `None` when the message is not one.
pub(super) fn reply(question: &[u8], message: &[u8]) -> Option<Reply> {
    let asked = question.get(HEADER..)?;
    let echoed = message.get(HEADER..HEADER + asked.len())?;
    let is_reply = message[2] & 0x80 != 0;
    if message[..2] != question[..2] || !is_reply || !echoed.eq_ignore_ascii_case(asked) {
        return None;
    }
    if message[2] & 0x02 != 0 {
        return Some(Reply::Truncated);
    }
    match message[3] & 0x0f {
        0 => {}
        3 => return Some(Reply::Unknown),
        _ => return Some(Reply::Failed),
    }
    let kind = u16::from_be_bytes([asked[asked.len() - 4], asked[asked.len() - 3]]);
    let records = u16::from_be_bytes([message[6], message[7]]);
    let mut at = HEADER + asked.len();
    let mut addresses = Vec::new();
    for _ in 0..records {
        at = after_name(message, at)?;
        let fixed = message.get(at..at + 10)?;
        let (of, length) = (
            u16::from_be_bytes([fixed[0], fixed[1]]),
            usize::from(u16::from_be_bytes([fixed[8], fixed[9]])),
        );
        at += 10;
        let data = message.get(at..at + length)?;
        at += length;
        // The server follows aliases by itself; their records stand in between.
        if of == kind {
            addresses.extend(address(data));
        }
    }
    Some(Reply::Addresses(addresses))
}

fn address(data: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(data) {
        return Some(bytes.into());
    }
    <[u8; 16]>::try_from(data).ok().map(IpAddr::from)
}

/// Where a name ends. A name that goes on elsewhere ends here with the pointer to it.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reply to `question` with these records: type and data.
    pub(crate) fn answer(question: &[u8], flags: [u8; 2], records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2..4].copy_from_slice(&flags);
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for (kind, data) in records {
            message.extend_from_slice(&[0xc0, HEADER as u8]);
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    #[test]
    fn finds_addresses_behind_aliases() {
        let asked = question(7, "collector.example", A).unwrap();
        let message = answer(
            &asked,
            [0x81, 0x80],
            &[(5, b"\x01a\0"), (A, &[10, 0, 0, 1]), (A, &[10, 0, 0, 2])],
        );
        let expected = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        assert_eq!(reply(&asked, &message), Some(Reply::Addresses(expected)));
    }

    #[test]
    fn tells_what_else_was_said() {
        let asked = question(7, "collector.example.", AAAA).unwrap();
        let said = |flags| reply(&asked, &answer(&asked, flags, &[]));
        assert_eq!(said([0x81, 0x80]), Some(Reply::Addresses(Vec::new())));
        assert_eq!(said([0x81, 0x83]), Some(Reply::Unknown));
        assert_eq!(said([0x81, 0x82]), Some(Reply::Failed));
        assert_eq!(said([0x83, 0x80]), Some(Reply::Truncated));
        assert_eq!(said([0x01, 0x80]), None);
        let other = question(8, "collector.example", AAAA).unwrap();
        assert_eq!(reply(&asked, &answer(&other, [0x81, 0x80], &[])), None);
        let spoofed = question(7, "collector.examplf", AAAA).unwrap();
        assert_eq!(reply(&asked, &answer(&spoofed, [0x81, 0x80], &[])), None);
    }

    #[test]
    fn refuses_what_is_no_name() {
        let long = "a".repeat(64);
        for name in ["", ".", "a..b", long.as_str(), &"a.".repeat(200)] {
            assert!(question(1, name, A).is_none(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let asked = question(7, "a.b", A).unwrap();
            let _ = reply(&asked, &bytes);
            let mut message = answer(&asked, [0x81, 0x80], &[]);
            message[7] = 3;
            message.extend(bytes);
            let _ = reply(&asked, &message);
        }
    }
}
