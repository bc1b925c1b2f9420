use crate::arena::{ballot, Registry};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What processes are elected for: each office of an arena has one holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Office {
    /// Pushing the metrics of the arena.
    Push = 0,
    /// Sharing the metrics of the arena with other machines.
    Sync = 1,
}

/// Bits of a [`Mandate`].
const SLOT_BITS: u32 = 12;
const HELD: u64 = 1 << SLOT_BITS;
const LEAVING: u64 = HELD << 1;
const RENEWAL: u64 = LEAVING << 1;
const RENEWALS: u64 = 7 * RENEWAL;
const TOKEN_BITS: u32 = 17;

/// Who holds an office, in one word: the term's token, a count of its renewals, whether the holder is about to resign,
/// whether it is held, the holder's slot.
///
/// The token is drawn from the numbers that the arena also gives to processes as they arrive, after the word before was
/// read: so tokens only grow, and the slot's process is the holder as long as its own number is below the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mandate(u64);

impl Mandate {
    fn new(token: u64, slot: u32) -> Self {
        Self((token << TOKEN_BITS) | HELD | (u64::from(slot) & (HELD - 1)))
    }

    fn token(self) -> u64 {
        self.0 >> TOKEN_BITS
    }

    fn slot(self) -> u32 {
        (self.0 & (HELD - 1)) as u32
    }

    fn is_held(self) -> bool {
        self.0 & HELD != 0
    }

    /// The same term once more. The count is there for those who read the word before: they must not succeed a holder
    /// that was heard of since.
    fn renewed(self) -> Self {
        Self((self.0 & !RENEWALS) | (self.0.wrapping_add(RENEWAL) & RENEWALS))
    }

    fn is_leaving(self) -> bool {
        self.is_held() && self.0 & LEAVING != 0
    }

    fn leaving(self) -> Self {
        Self(self.0 | LEAVING)
    }

    fn resigned(self) -> Self {
        Self(self.0 & !HELD)
    }

    /// Whether both are one term.
    fn is_term_of(self, other: Self) -> bool {
        const MOVES: u64 = RENEWALS | LEAVING;
        self.0 & !MOVES == other.0 & !MOVES
    }
}

/// What an election reads and writes.
pub(super) trait Ballot: Send + Sync {
    /// The word that says who holds the office.
    fn holder(&self) -> u64;
    /// Changes it by compare-and-swap.
    fn change(&self, from: u64, to: u64) -> bool;
    /// The milliseconds at which the holder was last heard of.
    fn heard(&self) -> u64;
    /// Says that it is heard of.
    fn hear(&self, at: u64);
    /// The slot and number of the process that asks, if it may stand.
    fn candidate(&self) -> Option<(u32, u64)>;
    /// A number greater than any before.
    fn number(&self) -> u64;
    /// Whether the process lives that had `slot` when `number` was given.
    fn is_alive(&self, slot: u32, number: u64) -> bool;
}

impl Ballot for ballot::Ballot {
    fn holder(&self) -> u64 {
        self.holder()
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.change(from, to)
    }

    fn heard(&self) -> u64 {
        self.heard()
    }

    fn hear(&self, at: u64) {
        self.hear(at);
    }

    fn candidate(&self) -> Option<(u32, u64)> {
        self.candidate()
    }

    fn number(&self) -> u64 {
        self.number()
    }

    fn is_alive(&self, slot: u32, number: u64) -> bool {
        self.is_alive(slot, number)
    }
}

/// A process's part in the election to one office of one arena.
///
/// It is good as long as that arena is at its place: when [`Election::is_over`], ask for another one. Campaigning takes no
/// lock, so that a background thread may do it while another one forks; making an election does.
#[derive(Clone)]
pub struct Election {
    ballot: Arc<dyn Ballot>,
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mandate = Mandate(self.ballot.holder());
        f.debug_struct("Election").field("mandate", &mandate).finish()
    }
}

impl Election {
    /// The election to `office` in the arena of `registry`, which is opened if need be. `None` where there is none.
    ///
    /// To be called as recording calls are: under the lock that lets one thread at a time record.
    #[must_use]
    pub fn new(registry: &Registry, office: Office) -> Option<Self> {
        Some(Self::of(Arc::new(registry.ballot(office as usize)?)))
    }

    pub(super) fn of(ballot: Arc<dyn Ballot>) -> Self {
        Self { ballot }
    }

    /// How long a holder may be silent: one and a half intervals.
    fn patience(interval: Duration) -> Duration {
        interval * 3 / 2
    }

    /// How often to [campaign](Self::campaign): with that, a stopped holder is replaced before two intervals are over.
    #[must_use]
    pub fn pace(interval: Duration) -> Duration {
        interval / 4
    }

    /// Whether this process can no longer win it: the arena's file was replaced, or a fork has made it another process,
    /// which has to join the arena first.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ballot.candidate().is_none()
    }

    /// Takes the office if nobody holds it, or who held it is dead or has been silent for one and a half intervals; renews
    /// the term if it is this process's own. `None`: another process holds the office.
    ///
    /// To be called by every process, the holder as well, as often as [`Self::pace`] says.
    #[must_use]
    pub fn campaign(&self, interval: Duration) -> Option<Term> {
        self.campaign_at(ballot::boot_time(), interval)
    }

    /// [`Self::campaign`] at a given time.
    pub(super) fn campaign_at(&self, now: Duration, interval: Duration) -> Option<Term> {
        let (slot, number) = self.ballot.candidate()?;
        let millis = now.as_millis() as u64;
        loop {
            let seen = Mandate(self.ballot.holder());
            let own = seen.is_held() && seen.slot() == slot && number < seen.token();
            let mandate = if own {
                seen.renewed()
            } else if seen.is_held() && self.is_heard_of(seen, millis, interval) {
                return None;
            } else {
                // Drawn after the word was read, so it is greater than the one there, unless that is damage.
                Mandate::new(self.ballot.number(), slot)
            };
            // Before the word is changed, or others would find the new holder as silent as the old one was.
            self.ballot.hear(millis);
            if self.ballot.change(seen.0, mandate.0) {
                return Some(Term {
                    ballot: Arc::clone(&self.ballot),
                    mandate,
                    candidate: (slot, number),
                    ends: now + Self::patience(interval),
                });
            }
        }
    }

    /// Whether another process holds the office that has [said](Term::leave) that it will resign.
    #[must_use]
    pub fn another_leaves(&self) -> bool {
        let seen = Mandate(self.ballot.holder());
        let own = self
            .ballot
            .candidate()
            .is_some_and(|(slot, number)| seen.slot() == slot && number < seen.token());
        seen.is_leaving() && !own && self.ballot.is_alive(seen.slot(), seen.token())
    }

    fn is_heard_of(&self, holder: Mandate, millis: u64, interval: Duration) -> bool {
        let patience = Self::patience(interval).as_millis() as u64;
        // What was heard a little later than `now` was read is fresh; what is far ahead is no time at all.
        let silent = self.ballot.heard().abs_diff(millis) > patience;
        !silent && self.ballot.is_alive(holder.slot(), holder.token())
    }
}

/// An office, held by this process when it was answered.
pub struct Term {
    ballot: Arc<dyn Ballot>,
    mandate: Mandate,
    candidate: (u32, u64),
    ends: Duration,
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term").field("mandate", &self.mandate).finish()
    }
}

impl Term {
    /// The fencing token: greater than that of every term before. Renewing a term does not change it.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.mandate.token()
    }

    /// Whether this process still holds the office. To be asked before each deed: a process that was stopped, and has
    /// been replaced meanwhile, finds it out here, and so does a forked child, which holds nothing.
    #[must_use]
    pub fn still_held(&self) -> bool {
        self.still_held_at(ballot::boot_time())
    }

    /// [`Self::still_held`] at a given time.
    pub(super) fn still_held_at(&self, now: Duration) -> bool {
        now <= self.ends
            && self.ballot.candidate() == Some(self.candidate)
            && Mandate(self.ballot.holder()).is_term_of(self.mandate)
    }

    /// Says that it will be given up, after one last deed: for whoever has something to be done as well, and may be too
    /// late for that one. Renewing the term does not unsay it.
    pub fn leave(&self) {
        self.change(Mandate::leaving);
    }

    /// Gives the office up, so that another process can take it at once; does nothing when it is no longer held.
    pub fn resign(self) {
        self.change(Mandate::resigned);
    }

    fn change(&self, change: impl Fn(Mandate) -> Mandate) {
        if self.ballot.candidate() != Some(self.candidate) {
            return;
        }
        loop {
            let seen = Mandate(self.ballot.holder());
            if !seen.is_term_of(self.mandate) || self.ballot.change(seen.0, change(seen).0) {
                return;
            }
        }
    }
}
