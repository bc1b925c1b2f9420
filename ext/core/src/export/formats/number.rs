//! How formats spell numbers.

use crate::snapshot::Count;

/// Magnitude below which every integer is a float of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A counter's total: digits alone while only integers were added, whatever its size.
pub(super) fn count(out: &mut Vec<u8>, count: &Count) {
    match count.as_integer() {
        Some(total) => integer(out, total),
        None => float(out, count.as_f64()),
    }
}

/// The shortest text that reads back as `value`, without a fraction of zero; `+Inf`, `-Inf`, `NaN`.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    if value.abs() < EXACT && value.fract() == 0.0 && (value != 0.0 || value.is_sign_positive()) {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else if value.is_finite() {
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    } else {
        out.extend_from_slice(special(value).as_bytes());
    }
}

/// The spelling of what is not finite.
pub(super) fn special(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

/// An upper bound as the label `le` carries it, spelled like the bounds of every other Prometheus client (Go's `%g`):
/// the label is text to whoever stores it, and `1e+06` and `1000000` would be two series.
pub(super) fn bound(value: f64) -> String {
    if !value.is_finite() {
        return special(value).to_owned();
    }
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(value.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let digits = match significant.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    // Power of ten of the first digit.
    let power = match value {
        0.0 => 0,
        _ => exponent.parse().unwrap_or(0) + whole.len() as i32 - 1 - (all.len() - significant.len()) as i32,
    };
    let sign = if value < 0.0 { "-" } else { "" };
    let (first, rest) = digits.split_at(1);
    if (-4..6).contains(&power) {
        if power < 0 {
            format!(
                "{sign}0.{:0>width$}",
                digits,
                width = digits.len() + (-power - 1) as usize
            )
        } else {
            let split = power as usize + 1;
            match digits.split_at_checked(split) {
                Some((whole, fraction)) if !fraction.is_empty() => format!("{sign}{whole}.{fraction}"),
                _ => format!("{sign}{digits:0<split$}"),
            }
        }
    } else {
        let dot = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if power < 0 { '-' } else { '+' };
        format!("{sign}{first}{dot}{rest}e{exponent_sign}{:02}", power.abs())
    }
}

/// OpenMetrics' canonical form of a bound: [`bound`], and recognizable as a float.
pub(super) fn canonical_bound(value: f64) -> String {
    let mut text = bound(value);
    if value.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

/// Nanoseconds since the Unix epoch as seconds, to the last digit that is not zero.
pub(super) fn seconds(out: &mut Vec<u8>, nanos: u64) {
    const SECOND: u64 = 1_000_000_000;
    integer(out, nanos / SECOND);
    let fraction = nanos % SECOND;
    if fraction != 0 {
        // The leading one keeps the zeros behind the point; it becomes the point itself.
        let mut buffer = itoa::Buffer::new();
        let digits = &buffer.format(SECOND + fraction)[1..];
        out.push(b'.');
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

/// Two digits a byte.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 15)];
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn spells_floats() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (1e-7, "1e-7"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (1e22, "1e22"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(|out| float(out, value)), expected);
        }
    }

    #[test]
    fn spells_bounds_like_go() {
        for (value, expected, canonical) in [
            (0.0, "0", "0.0"),
            (1.0, "1", "1.0"),
            (10.0, "10", "10.0"),
            (0.5, "0.5", "0.5"),
            (2.5, "2.5", "2.5"),
            (-2.5, "-2.5", "-2.5"),
            (0.005, "0.005", "0.005"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001, "1e-05", "1e-05"),
            (0.000_012_5, "1.25e-05", "1.25e-05"),
            (100_000.0, "100000", "100000.0"),
            (123_456.5, "123456.5", "123456.5"),
            (1_000_000.0, "1e+06", "1e+06"),
            (1_234_567.0, "1.234567e+06", "1.234567e+06"),
            (1e10, "1e+10", "1e+10"),
            (1e100, "1e+100", "1e+100"),
            (1e-100, "1e-100", "1e-100"),
            (f64::INFINITY, "+Inf", "+Inf"),
        ] {
            assert_eq!(bound(value), expected);
            assert_eq!(canonical_bound(value), canonical);
        }
    }

    #[test]
    fn spells_seconds_without_trailing_zeros() {
        for (nanos, expected) in [
            (0, "0"),
            (1_500_000_000, "1.5"),
            (1_700_000_000_000_000_001, "1700000000.000000001"),
            (1_700_000_000_120_000_000, "1700000000.12"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(text(|out| seconds(out, nanos)), expected);
        }
    }

    #[test]
    fn keeps_integers_exact_beyond_two_to_the_53() {
        let total = Count {
            int: u64::MAX,
            float: 0.0,
        };
        assert_eq!(text(|out| count(out, &total)), "18446744073709551615");
        let mixed = Count { int: 3, float: 0.25 };
        assert_eq!(text(|out| count(out, &mixed)), "3.25");
    }

    proptest! {
        #[test]
        fn floats_and_bounds_read_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let spelled = text(|out| float(out, value));
            prop_assert_eq!(spelled.parse::<f64>().unwrap().to_bits(), bits);
            prop_assert_eq!(bound(value).parse::<f64>().unwrap(), value);
            prop_assert_eq!(canonical_bound(value).parse::<f64>().unwrap(), value);
        }
    }
}
