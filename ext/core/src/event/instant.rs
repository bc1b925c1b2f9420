//! Points in time, in nanoseconds since the epoch, and as ISO 8601 writes them.

/// Nanoseconds in a second.
pub(super) const SECOND: i64 = 1_000_000_000;

/// Seconds since the epoch, for how old a note is.
pub(super) fn whole_seconds(nanos: i64) -> u32 {
    u32::try_from(nanos / SECOND).unwrap_or_default()
}

/// A number of seconds in nanoseconds, if there is room for it.
pub(super) fn of_seconds(seconds: f64) -> Option<i64> {
    let nanos = (seconds * SECOND as f64).round();
    (nanos.is_finite() && nanos.abs() < i64::MAX as f64).then_some(nanos as i64)
}

/// A point in time of so many seconds since the epoch, if there is room for it.
///
/// Floats of today are 240 ns apart, so one that stands for whole microseconds, which is what databases keep, is mostly
/// a little off. It is taken for them if it is what becomes of them: by division of the microseconds, or of the
/// nanoseconds, as Ruby's `Time#to_f` does it.
pub(super) fn of_epoch_seconds(seconds: f64) -> Option<i64> {
    let micros = seconds.trunc() * 1e6 + (seconds.fract() * 1e6).round();
    let whole = micros / 1e6 == seconds || micros * 1e3 / 1e9 == seconds;
    if whole && micros.abs() < (i64::MAX / 1000) as f64 {
        return Some(micros as i64 * 1000);
    }
    of_seconds(seconds)
}

/// Reads `2024-02-29T23:59:60.5+01:00` and the like: a space may stand for the T, a time without a zone is in UTC.
pub(super) fn parse(text: &str) -> Option<i64> {
    let mut text = Text(text.trim().as_bytes());
    let year = text.digits(4)?;
    text.skip(b"-")?;
    let month = text.digits(2)?;
    text.skip(b"-")?;
    let day = text.digits(2)?;
    text.skip(b"T ")?;
    let hour = text.digits(2)?;
    text.skip(b":")?;
    let minute = text.digits(2)?;
    text.skip(b":")?;
    let second = text.digits(2)?;
    let nanos = if text.skip(b".,").is_some() {
        text.fraction()?
    } else {
        0
    };
    let offset = text.offset()?;
    let last = days_before(year, month + 1).checked_sub(days_before(year, month))?;
    if !(1..=12).contains(&month) || !(1..=last).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset;
    i64::try_from(i128::from(seconds) * i128::from(SECOND) + i128::from(nanos)).ok()
}

/// The time in UTC, to the nanosecond.
pub(super) fn print(nanos: i64) -> String {
    let (seconds, fraction) = (nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years have 365 or 366 days, so this one is not too late; and it is at most a few early.
    let mut year = 1970 + days.div_euclid(if days < 0 { 365 } else { 366 });
    while days_before(year + 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12)
        .rev()
        .find(|month| days_before(year, *month) <= days)
        .unwrap_or(1);
    let day = days - days_before(year, month) + 1;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
}

/// Days from the epoch to the first of a month; month 13 is the next January.
fn days_before(year: i64, month: i64) -> i64 {
    const CUMULATED: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let before = year - 1;
    let leaps = before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 477;
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let index = (month - 1).clamp(0, 12) as usize;
    (year - 1970) * 365 + leaps + CUMULATED[index] + i64::from(leap && index >= 2)
}

/// What is left to read.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
        })
    }

    fn skip(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        any.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// Nanoseconds; further digits are cut.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
        (count > 0).then(|| padded.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    /// Seconds east of Greenwich, and the end of the text.
    fn offset(&mut self) -> Option<i64> {
        let _ = self.skip(b" ");
        if matches!(self.0, b"" | b"Z" | b"z" | b"UTC" | b"GMT") {
            return Some(0);
        }
        let sign = if self.skip(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.digits(2)?;
        let _ = self.skip(b":");
        let minutes = if self.0.is_empty() { 0 } else { self.digits(2)? };
        (self.0.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_is_written_in_the_wild() {
        let noon = Some(1_709_208_000 * SECOND);
        for text in [
            "2024-02-29T12:00:00Z",
            "2024-02-29T12:00:00",
            "2024-02-29 12:00:00 UTC",
            "2024-02-29T13:00:00+01:00",
            "2024-02-29 06:30:00 -0530",
            "2024-02-29T14:00:00+02",
            " 2024-02-29T12:00:00.000Z ",
        ] {
            assert_eq!(parse(text), noon, "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00.25Z"), Some(SECOND / 4));
        assert_eq!(parse("1970-01-01T00:00:00.1234567899Z"), Some(123_456_789));
        assert_eq!(parse("1969-12-31T23:59:59.5Z"), Some(-SECOND / 2));
        assert_eq!(parse("2000-03-01T00:00:00Z"), Some(951_868_800 * SECOND));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2024",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-01-01T25:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00 CET",
            "2024-01-01T00:00:00+1",
            "9999-01-01T00:00:00Z",
            "２024-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_back_what_it_prints(nanos in any::<i64>()) {
            let text = print(nanos);
            prop_assert_eq!(parse(&text), Some(nanos), "{}", text);
        }

        #[test]
        fn whole_microseconds_survive_a_float(micros in -4_000_000_000_000_000_i64..4_000_000_000_000_000) {
            for seconds in [micros as f64 / 1e6, (micros * 1000) as f64 / 1e9] {
                prop_assert_eq!(of_epoch_seconds(seconds), Some(micros * 1000), "{}", seconds);
            }
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
