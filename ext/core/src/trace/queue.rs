//! Spans that wait to be sent: bounded, and what matters least goes first when there is no room.

use super::record::Priority;
use std::collections::VecDeque;

const LEVELS: usize = Priority::ALL.len();

/// A bounded queue with a line for each priority. Entries are numbered in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue<T> {
    lines: [VecDeque<(u64, T)>; LEVELS],
    capacity: usize,
    length: usize,
    /// Number of the entry that came last.
    last: u64,
}

/// What came of [`Queue::push`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is in.
    In,
    /// It is in, and one of a lower priority is out.
    Instead,
    /// All that is there matters as much, so it is not in.
    Refused,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            lines: std::array::from_fn(|_| VecDeque::new()),
            capacity,
            length: 0,
            last: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Number of the entry that came last.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Number of the oldest entry that is in.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.lines
            .iter()
            .filter_map(|line| line.front().map(|(number, _)| *number))
            .min()
    }

    pub(super) fn push(&mut self, entry: T, priority: Priority) -> Pushed {
        let line = priority as usize;
        let mut pushed = Pushed::In;
        if self.length >= self.capacity {
            // Of those that matter least the oldest goes: what is told late is worth less.
            match self.lines[..line].iter_mut().find(|line| !line.is_empty()) {
                Some(lower) => drop(lower.pop_front()),
                None => return Pushed::Refused,
            }
            self.length -= 1;
            pushed = Pushed::Instead;
        }
        self.last += 1;
        self.length += 1;
        self.lines[line].push_back((self.last, entry));
        pushed
    }

    /// Takes up to `most` entries: the highest priority first, or the oldest first. Answers the oldest one's number too.
    pub(super) fn take(&mut self, most: usize, oldest_first: bool) -> (Vec<T>, Option<u64>) {
        let mut taken = Vec::with_capacity(most.min(self.length));
        let mut oldest = None;
        while taken.len() < most {
            let filled = self.lines.iter_mut().filter(|line| !line.is_empty());
            let line = if oldest_first {
                filled.min_by_key(|line| line.front().map(|(number, _)| *number))
            } else {
                filled.last()
            };
            let Some((number, entry)) = line.and_then(VecDeque::pop_front) else {
                break;
            };
            oldest = Some(oldest.map_or(number, |oldest: u64| oldest.min(number)));
            taken.push(entry);
        }
        self.length -= taken.len();
        (taken, oldest)
    }

    /// Takes out all in the order in which they came.
    pub(super) fn drain(&mut self) -> Vec<(T, Priority)> {
        let mut all = Vec::with_capacity(self.length);
        for (line, (_, priority)) in self.lines.iter_mut().zip(Priority::ALL) {
            all.extend(line.drain(..).map(|(number, entry)| (number, entry, priority)));
        }
        self.length = 0;
        all.sort_by_key(|(number, ..)| *number);
        all.into_iter().map(|(_, entry, priority)| (entry, priority)).collect()
    }

    /// Empties it and answers how many there were.
    pub(super) fn clear(&mut self) -> usize {
        self.lines.iter_mut().for_each(VecDeque::clear);
        std::mem::take(&mut self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn the_lowest_goes_first_and_the_critical_last() {
        let mut queue = Queue::new(3);
        assert_eq!(queue.push("low", Priority::Low), Pushed::In);
        assert_eq!(queue.push("normal 1", Priority::Normal), Pushed::In);
        assert_eq!(queue.push("critical", Priority::Critical), Pushed::In);
        assert_eq!(queue.push("normal 2", Priority::Normal), Pushed::Instead);
        assert_eq!(queue.push("normal 3", Priority::Normal), Pushed::Refused);
        assert_eq!(queue.push("low 2", Priority::Low), Pushed::Refused);
        assert_eq!(queue.push("high", Priority::High), Pushed::Instead);
        assert_eq!(queue.push("critical 2", Priority::Critical), Pushed::Instead);
        assert_eq!(queue.take(9, false), (vec!["critical", "critical 2", "high"], Some(3)));
        assert_eq!((queue.len(), queue.oldest()), (0, None));
    }

    #[test]
    fn a_flush_takes_in_the_order_of_arrival() {
        let mut queue = Queue::new(9);
        for (entry, priority) in [(1, Priority::Low), (2, Priority::Critical), (3, Priority::Normal)] {
            queue.push(entry, priority);
        }
        assert_eq!(queue.take(2, true), (vec![1, 2], Some(1)));
        assert_eq!((queue.oldest(), queue.last()), (Some(3), 3));
    }

    #[test]
    fn it_can_be_emptied_in_the_order_of_arrival() {
        let mut queue = Queue::new(9);
        let entries = [
            (1, Priority::Low),
            (2, Priority::Critical),
            (3, Priority::Normal),
            (4, Priority::Low),
        ];
        for (entry, priority) in entries {
            queue.push(entry, priority);
        }
        assert_eq!(queue.drain(), entries);
        assert_eq!((queue.len(), queue.oldest(), queue.last()), (0, None, 4));
    }

    /// The policy, in as few words as possible: keep the best of each moment; of equals, those that came last among
    /// the victims' line, and those that came first among one's own.
    fn model(kept: &mut Vec<(usize, u32)>, capacity: usize, entry: (usize, u32)) -> bool {
        if kept.len() < capacity {
            kept.push(entry);
            return false;
        }
        if let Some(lowest) = kept
            .iter()
            .map(|(level, _)| *level)
            .min()
            .filter(|lowest| *lowest < entry.0)
        {
            let victim = kept.iter().position(|(level, _)| *level == lowest).unwrap();
            kept.remove(victim);
            kept.push(entry);
        }
        true
    }

    #[test]
    fn drops_what_the_policy_says_whatever_happens() {
        let seed = std::env::var("SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(rand::random);
        println!("SEED={seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        for _ in 0..200 {
            let capacity = random.random_range(1..20);
            let mut queue = Queue::new(capacity);
            let mut kept = Vec::new();
            let (mut came, mut dropped, mut taken) = (0u32, 0, 0);
            for _ in 0..300 {
                if random.random_ratio(1, 12) {
                    let most = random.random_range(1..10);
                    let (entries, _) = queue.take(most, false);
                    let mut expected: Vec<_> = kept.clone();
                    expected.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
                    expected.truncate(most);
                    assert_eq!(entries, expected, "SEED={seed}");
                    kept.retain(|entry| !expected.contains(entry));
                    taken += entries.len();
                } else {
                    let priority = Priority::ALL[random.random_range(0..LEVELS)].1;
                    let entry = (priority as usize, came);
                    came += 1;
                    let lost = queue.push(entry, priority) != Pushed::In;
                    assert_eq!(lost, model(&mut kept, capacity, entry), "SEED={seed}");
                    dropped += usize::from(lost);
                }
                assert_eq!(queue.len(), kept.len(), "SEED={seed}");
                assert!(queue.len() <= capacity, "SEED={seed}");
            }
            assert_eq!(came as usize, taken + dropped + queue.len(), "SEED={seed}");
        }
    }

    proptest! {
        #[test]
        fn a_critical_one_is_lost_only_to_critical_ones(levels in proptest::collection::vec(0usize..4, 0..60)) {
            let mut queue = Queue::new(8);
            for level in &levels {
                queue.push(*level, Priority::ALL[*level].1);
            }
            let critical = levels.iter().filter(|level| **level == 3).count();
            let (taken, _) = queue.take(8, false);
            prop_assert_eq!(taken.iter().filter(|level| **level == 3).count(), critical.min(8));
        }
    }
}
