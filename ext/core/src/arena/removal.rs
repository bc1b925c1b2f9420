//! The end of records: out of use at once, to other labels once nobody can hold them any more.

use super::cells;
use super::fail;
use super::node::{Node, RecordKind, State, Word};
use super::records::{Held, MetricCells, Records};
use super::step::step;
use std::sync::atomic::Ordering;

impl Records<'_> {
    /// Takes a record out of use; `false` when it is already.
    pub fn remove(&self, held: Held) -> bool {
        let Some(node) = Node::at(self.map, held.offset) else {
            return false;
        };
        let removing = held.word.with(State::Removing);
        // An add may turn `EXPIRING` into `LIVE` between two tries.
        while held.word.with(State::Live) == node.word() || held.word.with(State::Expiring) == node.word() {
            for state in [State::Live, State::Expiring] {
                if node.advance(held.word.with(state), removing) {
                    fail::point("remove:removing");
                    self.uncount(&node);
                    self.number(&node, removing);
                    fail::point("remove:removed");
                    self.remove_folded(&node);
                    return true;
                }
            }
        }
        false
    }

    /// Removes every series that is `wanted`, and answers how many there were.
    pub fn remove_series(&self, wanted: impl Fn(&Node<'_>) -> bool) -> usize {
        let known = self.know();
        let remove = |node: &Node<'_>| {
            // First the word, which is what is removed: a record that goes to another series has another one then.
            let word = node.word();
            word.in_use()
                && word.sequence() <= known
                && node.kind() == Some(RecordKind::Series)
                && node.source() == 0
                && wanted(node)
                && self.remove(Held {
                    offset: node.offset,
                    word,
                })
        };
        self.all().filter(remove).count()
    }

    /// Removes a record that nothing has been written to since `touched` was last cleared. A write that comes while
    /// it is being removed keeps it in use.
    pub fn expire(&self, held: Held) -> bool {
        let Some(node) = Node::at(self.map, held.offset) else {
            return false;
        };
        let (live, expiring) = (held.word.with(State::Live), held.word.with(State::Expiring));
        let before = cells::fingerprint(node.cells());
        if node.touched().load(Ordering::SeqCst) != 0 {
            return false;
        }
        // Who found it idle before may have been killed before he made up his mind.
        if !node.advance(live, expiring) && node.word() != expiring {
            return false;
        }
        fail::point("expire:expiring");
        // A write either sees `EXPIRING` when it looks again, or its value is seen here.
        let after = cells::fingerprint(node.cells());
        if before != after || node.touched().load(Ordering::SeqCst) != 0 {
            node.advance(expiring, live);
            return false;
        }
        let removing = held.word.with(State::Removing);
        if !node.advance(expiring, removing) {
            return false;
        }
        fail::point("expire:removing");
        self.uncount(&node);
        self.number(&node, removing);
        self.remove_folded(&node);
        true
    }

    fn uncount(&self, node: &Node<'_>) {
        if !node.is_counted() {
            return;
        }
        if let Some(count) =
            Node::at(self.map, node.metric()).and_then(|metric| metric.cells().get(MetricCells::SERIES))
        {
            let _ = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1));
        }
    }

    /// Numbers a removal, after the record is out of use: who releases removals up to a number has seen them all.
    pub fn number(&self, node: &Node<'_>, removing: Word) {
        if let Some(header) = self.header() {
            step();
            let removal = header.removals().fetch_add(1, Ordering::SeqCst).wrapping_add(1);
            node.advance(removing, Word::new(State::Removed, removal));
        }
    }

    fn remove_folded(&self, node: &Node<'_>) {
        for part in self.folded(node) {
            self.remove(Held {
                offset: part.offset,
                word: part.word(),
            });
        }
    }
}
