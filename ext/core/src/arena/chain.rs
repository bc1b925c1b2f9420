//! Walking chains of records.

use super::map::Mapping;
use super::node::{Node, Offset};

/// A walk along a chain.
pub(super) struct Chain<'a> {
    map: &'a Mapping,
    next: Offset,
    /// A damaged link may close a circle; a mark that is moved on after 1, 2, 4… steps is met again in any circle.
    mark: Offset,
    steps: u32,
    power: u32,
}

impl<'a> Iterator for Chain<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        if self.next == 0 || self.next == self.mark {
            return None;
        }
        let node = Node::at(self.map, self.next)?;
        self.steps += 1;
        if self.steps == self.power {
            (self.mark, self.steps, self.power) = (self.next, 0, self.power.saturating_mul(2));
        }
        self.next = node.next();
        Some(node)
    }
}

impl<'a> Chain<'a> {
    /// The chain that begins with `first`.
    pub fn from(map: &'a Mapping, first: Offset) -> Self {
        Self {
            map,
            next: first,
            mark: 0,
            steps: 0,
            power: 1,
        }
    }
}

/// The records of many chains: of all the first, then of all the second, and so on. What comes next is known long
/// before it is looked at, so a processor fetches many records at once; along a chain it would wait for each.
pub(super) fn abreast<'a>(mut chains: Vec<Chain<'a>>) -> impl Iterator<Item = Node<'a>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while !chains.is_empty() {
            if at == chains.len() {
                at = 0;
            }
            match chains[at].next() {
                Some(node) => {
                    at += 1;
                    return Some(node);
                }
                None => drop(chains.swap_remove(at)),
            }
        }
        None
    })
}
