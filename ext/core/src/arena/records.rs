//! Finding and registering records, without a lock.
//!
//! Records hang in chains by hash. A chain only ever grows at its head; a record that is out of use stays where it is
//! and is filled anew with another key of the same chain. So a walker never trips, whatever others are doing, and
//! churn for ever is bounded by the most that each chain ever held at once.
//!
//! Two processes that register one key at once must end with one record. Each publishes its own as `PENDING` and then
//! *settles*: it walks the chain, and if nobody's record of that key is `LIVE`, frees every pending one but the first
//! born, and makes that one `LIVE`. Anybody may do any of these steps for anybody, so a process that is stopped or
//! killed between them holds nobody up; and whoever comes later finds either the winner or a pending record that it
//! must settle first, so there is never a second winner.

use super::chain::{abreast, Chain};
use super::layout::{Header, BUCKETS, BUCKETS_AT, UNIT};
use super::map::Mapping;
use super::node::{Identity, Node, Offset, RecordKind, State, Word};
use super::process::{self, Member};
use super::step::step;
use super::{fail, sys};
use std::sync::atomic::{fence, AtomicU64, Ordering};

/// Cells of a metric's record.
pub(super) struct MetricCells;

impl MetricCells {
    /// Number of the last declaration: the greatest of a name is exported.
    pub const DECLARED: usize = 0;
    /// Series in use, the one for overflow excepted.
    pub const SERIES: usize = 1;
    /// Integer total of series that were removed and reused.
    pub const REMOVED_INT: usize = 2;
    /// Float total of series that were removed and reused, as bits.
    pub const REMOVED_FLOAT: usize = 3;
    pub const COUNT: usize = 4;

    /// Totals of series that were removed and reused.
    pub fn removed(metric: &Node<'_>) -> (u64, f64) {
        let load = |index: usize| metric.cells().get(index).map_or(0, |cell| cell.load(Ordering::Relaxed));
        (load(Self::REMOVED_INT), f64::from_bits(load(Self::REMOVED_FLOAT)))
    }
}

/// A record that this process may use until it releases it, and the word that it has while it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub offset: Offset,
    pub word: Word,
}

/// Why nothing was registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The metric has as many series as it may have.
    Cap,
    /// The arena cannot grow: the disk is full.
    Full,
    /// As many arenas were folded into this one as can be.
    Sources,
    /// The arena is damaged.
    Damaged,
}

/// What a walk along a chain found.
enum Look<'a> {
    /// The record, in use.
    Live(Held),
    /// One or more of the key that wait to be settled.
    Pending,
    /// None; perhaps one that nobody uses, or one that somebody might still hold.
    Absent {
        reusable: Option<(Node<'a>, Word)>,
        blocked: bool,
    },
}

/// Ends loops that only a damaged file or endless interference could keep going.
const ATTEMPTS: usize = 1000;

/// The log of one arena, as one process works on it.
#[derive(Clone, Copy)]
pub(super) struct Records<'a> {
    pub map: &'a Mapping,
    pub member: Member,
    /// When this process last looked for dead ones, on the boot clock.
    pub buried_at: &'a AtomicU64,
}

impl<'a> Records<'a> {
    pub fn header(&self) -> Option<Header<'a>> {
        Header::of(self.map)
    }

    /// Records whose hash falls into `bucket`.
    pub fn chain(&self, bucket: u64) -> Chain<'a> {
        step();
        let head = self.map.half(BUCKETS_AT + 4 * (bucket % BUCKETS));
        Chain::from(self.map, head.map_or(0, |head| head.load(Ordering::SeqCst)))
    }

    /// Every record.
    pub fn all(&self) -> impl Iterator<Item = Node<'a>> {
        abreast((0..BUCKETS).map(|bucket| self.chain(bucket)).collect())
    }

    /// Says that records born until now may be held from here on, and answers their last number.
    pub fn know(&self) -> u64 {
        let births = self.header().map_or(0, |header| header.births().load(Ordering::SeqCst));
        if let Some(slot) = process::slot(self.map, self.member.slot) {
            slot.known().fetch_max(births, Ordering::SeqCst);
        }
        births
    }

    /// The record of `identity`, if it is in use.
    pub fn find(&self, identity: &Identity<'_>) -> Option<Held> {
        let hash = identity.hash();
        for _ in 0..ATTEMPTS {
            let known = self.know();
            let found = self.matching(identity, hash).find(|(_, word)| word.in_use());
            let (node, word) = found?;
            // A record born after `know` could be reused before this process is seen to hold it.
            if word.sequence() <= known {
                return Some(Held {
                    offset: node.offset,
                    word: word.with(State::Live),
                });
            }
        }
        None
    }

    /// Records of `identity` in any state in which they are filled, each with the word it was read under.
    fn matching<'b>(&'b self, identity: &'b Identity<'b>, hash: u64) -> impl Iterator<Item = (Node<'a>, Word)> + 'b
    where
        'a: 'b,
    {
        self.chain(hash).filter_map(move |node| {
            let word = self.holds(&node, identity, hash)?;
            Some((node, word))
        })
    }

    /// The record of `identity`, registered with `cells` if there is none. `quota`: the cell that counts such records
    /// and how many there may be. The answer tells whether the record is new.
    pub fn obtain(
        &self,
        identity: &Identity<'_>,
        cells: &[u64],
        quota: Option<(&AtomicU64, u64)>,
    ) -> Result<(Held, bool), Refused> {
        let hash = identity.hash();
        let size = Node::size_for(identity.key, cells.len());
        let mut counted = false;
        let give_back = |counted: bool| {
            if let (true, Some((count, _))) = (counted, quota) {
                count.fetch_sub(1, Ordering::SeqCst);
            }
        };
        for _ in 0..ATTEMPTS {
            let known = self.know();
            let reusable = match self.look(identity, hash, size) {
                Look::Live(held) if held.word.sequence() <= known => {
                    give_back(counted);
                    return Ok((held, false));
                }
                Look::Live(_) => continue,
                Look::Pending => {
                    self.settle(identity, hash, None);
                    continue;
                }
                Look::Absent {
                    blocked: true,
                    reusable: None,
                } if self.bury() => continue,
                Look::Absent { reusable, .. } => reusable,
            };
            if let (false, Some((count, most))) = (counted, quota) {
                if count.fetch_add(1, Ordering::SeqCst) >= most {
                    count.fetch_sub(1, Ordering::SeqCst);
                    return Err(Refused::Cap);
                }
                counted = true;
            }
            fail::point("register:scanned");
            let mine = match self.publish(identity, hash, cells, size, reusable, quota.is_some()) {
                Ok(Some(held)) => held,
                Ok(None) => continue,
                Err(refused) => {
                    give_back(counted);
                    return Err(refused);
                }
            };
            if self.settle(identity, hash, Some(mine)) == Some(mine) {
                fail::point("register:live");
                return Ok((mine, true));
            }
        }
        give_back(counted);
        Err(Refused::Damaged)
    }

    /// Walks the chain of `hash` once for a record of `identity`, and for one that its key could go to.
    fn look(&self, identity: &Identity<'_>, hash: u64, size: u64) -> Look<'a> {
        let (mut pending, mut blocked, mut reusable) = (false, false, None);
        for node in self.chain(hash) {
            let word = node.word();
            match word.state() {
                Some(State::Pending | State::Live | State::Expiring) => match self.holds(&node, identity, hash) {
                    Some(word) if word.in_use() => {
                        return Look::Live(Held {
                            offset: node.offset,
                            word: word.with(State::Live),
                        });
                    }
                    found => pending |= found.is_some(),
                },
                Some(State::Removing) => self.number(&node, word),
                Some(State::Free | State::Claimed | State::Removed) if reusable.is_none() && node.size() >= size => {
                    if self.is_free(&node, word) {
                        reusable = Some((node, word));
                    } else {
                        blocked = true;
                    }
                }
                _ => {}
            }
        }
        if pending {
            Look::Pending
        } else {
            Look::Absent { reusable, blocked }
        }
    }

    /// Whether a record that is out of use can go to another key.
    fn is_free(&self, node: &Node<'_>, word: Word) -> bool {
        match word.state() {
            Some(State::Free) => true,
            Some(State::Claimed) => !process::is_listed(self.map, word.sequence()),
            Some(State::Removed) => process::nobody_holds(self.map, node.birth(), word.sequence()),
            _ => false,
        }
    }

    /// The word under which `node` is read as a filled record of `identity`, if it is one.
    fn holds(&self, node: &Node<'_>, identity: &Identity<'_>, hash: u64) -> Option<Word> {
        loop {
            let word = node.word();
            let filled = matches!(word.state(), Some(State::Pending | State::Live | State::Expiring));
            if !filled || !node.is(identity, hash) {
                return None;
            }
            fence(Ordering::Acquire);
            // One that has only moved on, say from `PENDING` to `LIVE`, is there all the same.
            if node.word() == word {
                return Some(word);
            }
        }
    }

    /// Fills a record, `reusable` or a new one, and shows it as `PENDING`. `None` when another process took the
    /// reusable one first. `counted`: whether a cap counts it.
    fn publish(
        &self,
        identity: &Identity<'_>,
        hash: u64,
        cells: &[u64],
        size: u64,
        reusable: Option<(Node<'a>, Word)>,
        counted: bool,
    ) -> Result<Option<Held>, Refused> {
        let header = self.header().ok_or(Refused::Damaged)?;
        let node = match reusable {
            Some((node, word)) => {
                if !node.advance(word, Word::new(State::Claimed, self.member.incarnation)) {
                    return Ok(None);
                }
                // After a `CLAIMED` one, whose process was killed before it had done so, as well as after a `REMOVED` one.
                self.keep_total(&node);
                node.empty();
                fail::point("register:claimed");
                node
            }
            None => {
                let start = header.reserve(size).map_err(|_| Refused::Full)?;
                fail::point("register:reserved");
                let offset = Offset::try_from(start / UNIT).map_err(|_| Refused::Full)?;
                let node = Node::at(self.map, offset).ok_or(Refused::Damaged)?;
                node.set_size(size);
                node
            }
        };
        let birth = header.next_birth();
        self.know();
        node.fill(identity, hash, birth, sys::wall_clock(), cells);
        node.set_counted(counted);
        fail::point("register:filled");
        let pending = Word::new(State::Pending, birth);
        step();
        node.word_cell().store(pending.0, Ordering::SeqCst);
        if reusable.is_none() {
            self.link(&node, hash)?;
        }
        fail::point("register:pending");
        Ok(Some(Held {
            offset: node.offset,
            word: pending.with(State::Live),
        }))
    }

    fn link(&self, node: &Node<'_>, hash: u64) -> Result<(), Refused> {
        let head = self
            .map
            .half(BUCKETS_AT + 4 * (hash % BUCKETS))
            .ok_or(Refused::Damaged)?;
        let mut first = head.load(Ordering::SeqCst);
        loop {
            node.set_next(first);
            step();
            match head.compare_exchange_weak(first, node.offset, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(()),
                Err(moved) => first = moved,
            }
        }
    }

    /// Brings the records of one key to the state in which one is `LIVE` or none is left, and answers that one.
    /// `published`: a record that was `PENDING` before this began.
    ///
    /// There is only one, because a record is made `LIVE` by virtue of a walk that began when it was `PENDING` already
    /// and that left no other: of two such walks the one that began later has met the other's record.
    fn settle(&self, identity: &Identity<'_>, hash: u64, published: Option<Held>) -> Option<Held> {
        let mut candidate = published;
        for _ in 0..ATTEMPTS {
            let (mut live, mut pending) = (None, Vec::new());
            for (node, word) in self.matching(identity, hash) {
                if word.in_use() {
                    live = Some(Held {
                        offset: node.offset,
                        word: word.with(State::Live),
                    });
                } else {
                    pending.push((node, word));
                }
            }
            pending.sort_by_key(|(_, word)| word.sequence());
            let losers = if live.is_some() {
                &pending[..]
            } else {
                pending.get(1..).unwrap_or(&[])
            };
            if !losers
                .iter()
                .all(|(node, word)| node.advance(*word, word.with(State::Free)))
            {
                continue;
            }
            let Some((first, word)) = pending.first().filter(|_| live.is_none()) else {
                return live;
            };
            let winner = Held {
                offset: first.offset,
                word: word.with(State::Live),
            };
            if candidate != Some(winner) {
                candidate = Some(winner);
            } else if first.advance(*word, winner.word) {
                return candidate;
            }
        }
        None
    }

    /// Frees the slots of the dead, at most ten times a second; `true` when it did.
    pub fn bury(&self) -> bool {
        const INTERVAL: u64 = 100_000_000;
        let (now, last) = (sys::boot_clock(), self.buried_at.load(Ordering::Relaxed));
        let due = now.saturating_sub(last) >= INTERVAL
            && self
                .buried_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if due {
            process::bury(self.map, Some(self.member));
        }
        due
    }

    /// Moves what a removed series had counted to its metric's removed total, so that every increment stays somewhere.
    fn keep_total(&self, node: &Node<'_>) {
        let Some(metric) = Node::at(self.map, node.metric()) else {
            return;
        };
        if node.kind() != Some(RecordKind::Series) || metric.kind() != Some(RecordKind::Metric) {
            return;
        }
        let (int, float) = super::cells::take_total(node.cells());
        if let Some(removed) = metric.cells().get(MetricCells::REMOVED_INT) {
            removed.fetch_add(int, Ordering::Relaxed);
        }
        if let Some(removed) = metric.cells().get(MetricCells::REMOVED_FLOAT) {
            super::cells::add_float(removed, float);
        }
    }

    /// What was counted into the series of `node` in arenas that were folded into this one.
    pub fn folded(&self, node: &Node<'_>) -> Vec<Node<'a>> {
        let Some(header) = self.header() else { return Vec::new() };
        if node.kind() != Some(RecordKind::Series) || node.source() != 0 || header.sources().next().is_none() {
            return Vec::new();
        }
        let key = node.key();
        let part = |source| Identity {
            source,
            ..node.identity(RecordKind::Series, &key)
        };
        header
            .sources()
            .filter_map(|source| Node::at(self.map, self.find(&part(source))?.offset))
            .collect()
    }

    /// Settles a record that its process left `PENDING`.
    pub fn settle_abandoned(&self, node: &Node<'_>) {
        let word = node.word();
        let Some(kind) = node.kind() else { return };
        let key = node.key();
        let identity = node.identity(kind, &key);
        fence(Ordering::Acquire);
        if word.state() == Some(State::Pending) && node.word() == word {
            self.settle(&identity, identity.hash(), None);
        }
    }
}
