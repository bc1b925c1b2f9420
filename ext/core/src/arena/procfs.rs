//! What the kernel tells of a process on Linux; elsewhere there is nothing to read, and nothing is shown.

/// Part of `/proc/<pid>/stat` (see proc(5)), in its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// User and system time, in clock ticks.
    pub cpu_ticks: u64,
    pub threads: u64,
    /// Start, in clock ticks since boot.
    pub started: u64,
    pub resident_pages: u64,
}

impl Stat {
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The command stands in parentheses and may hold anything, so fields are counted from the last one on.
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

/// Clock ticks per second.
pub(super) fn ticks_per_second() -> u64 {
    // SAFETY: has no failure for this name on any supported system.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64
}

/// Bytes of a page.
pub(super) fn page_size() -> u64 {
    // SAFETY: has no failure for this name on any supported system.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_any_command_name() {
        let line = "42 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 0 900 1000 55 18446744073709551615\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(
            (stat.cpu_ticks, stat.threads, stat.started, stat.resident_pages),
            (23, 7, 900, 55)
        );
        assert_eq!(Stat::parse("nonsense"), None);
    }
}
