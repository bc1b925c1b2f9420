//! Lets the background ask another thread of the process for a page: what it takes to make one, such as running code of
//! the application's, may be that thread's to do alone.

use crate::clock::deadline;
use crate::runtime::{Condvar, Mutex, PerProcess};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a page may take to make. Whoever does not make one in time is taken for gone until it waits again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between the background and the thread that makes pages; there is one of each in a process.
pub struct Handover {
    desk: PerProcess<Desk>,
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Desk {
    order: Mutex<Order>,
    ordered: Condvar,
    made: Notify,
}

#[derive(Default)]
struct Order {
    /// Whether somebody makes pages in this process.
    attended: bool,
    /// A page is asked for that nobody has begun to make.
    open: bool,
    /// Orders so far, so that a page that comes too late is not taken for a later one's.
    number: u64,
    page: Option<(u64, Option<Vec<u8>>)>,
}

impl Default for Handover {
    fn default() -> Self {
        Self {
            desk: PerProcess::new(Desk::default()),
        }
    }
}

impl Handover {
    fn desk(&self) -> Arc<Desk> {
        self.desk.get(Desk::default)
    }

    /// Whether there is a thread to ask.
    #[must_use]
    pub fn is_attended(&self) -> bool {
        self.desk().order.lock().attended
    }

    /// Asks for a page; `None` when there is nobody to ask, or it could not be made.
    pub async fn ask(&self) -> Option<Vec<u8>> {
        let desk = self.desk();
        let number = {
            let mut order = desk.order.lock();
            if !order.attended {
                return None;
            }
            order.number += 1;
            order.open = true;
            order.page = None;
            order.number
        };
        desk.ordered.notify_one();
        let made = async {
            loop {
                if let Some((_, page)) = desk.order.lock().page.take_if(|(made, _)| *made == number) {
                    return page;
                }
                desk.made.notified().await;
            }
        };
        let page = timeout(PATIENCE, made).await;
        if page.is_err() {
            desk.order.lock().attended = false;
        }
        page.ok().flatten()
    }

    /// Says that there is a thread that makes pages, or will be before long.
    pub fn attend(&self) {
        self.desk().order.lock().attended = true;
    }

    /// Waits for an order, for `limit` at most, and gives up when `cancelled` says so, which it is asked at first and
    /// after each [`Self::wake`]. Answers the order's number, for [`Self::give`].
    pub fn wait(&self, limit: Duration, cancelled: &dyn Fn() -> bool) -> Option<u64> {
        let desk = self.desk();
        let deadline = deadline(limit);
        let mut order = desk.order.lock();
        order.attended = true;
        while !order.open {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() || cancelled() {
                return None;
            }
            order = desk.ordered.wait_for(order, rest);
        }
        order.open = false;
        Some(order.number)
    }

    /// Has a wait ask whether it is to be given up.
    pub fn wake(&self) {
        let desk = self.desk();
        // Under the lock: not between the question and the wait.
        let _order = desk.order.lock();
        desk.ordered.notify_all();
    }

    /// Hands over what was made for an order.
    pub fn give(&self, number: u64, page: Option<Vec<u8>>) {
        let desk = self.desk();
        desk.order.lock().page = Some((number, page));
        desk.made.notify_one();
    }

    /// Says that nobody makes pages any more.
    pub fn leave(&self) {
        self.desk().order.lock().attended = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn block_on<T>(work: impl std::future::Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(work)
    }

    #[test]
    fn nobody_is_asked_where_nobody_waits() {
        let handover = Handover::default();
        assert!(!handover.is_attended());
        assert_eq!(block_on(handover.ask()), None);
        assert_eq!(handover.wait(Duration::ZERO, &|| false), None);
        assert!(handover.is_attended());
        handover.leave();
        assert_eq!(block_on(handover.ask()), None);
    }

    #[test]
    fn each_order_gets_its_own_page() {
        let handover = Handover::default();
        assert_eq!(handover.wait(Duration::ZERO, &|| false), None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for page in [Some(vec![1]), None, Some(vec![3])] {
                    let number = handover.wait(Duration::from_secs(60), &|| false).unwrap();
                    // Late for an order that is over, and not to be taken for this one's.
                    handover.give(number - 1, Some(vec![9]));
                    handover.give(number, page);
                }
            });
            assert_eq!(block_on(handover.ask()), Some(vec![1]));
            assert_eq!(block_on(handover.ask()), None);
            assert_eq!(block_on(handover.ask()), Some(vec![3]));
        });
    }

    #[test]
    fn waiting_can_be_given_up() {
        let handover = Handover::default();
        assert_eq!(handover.wait(Duration::from_secs(60), &|| true), None);
        let cancelled = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| handover.wait(Duration::from_secs(60), &|| cancelled.load(Ordering::SeqCst)));
            cancelled.store(true, Ordering::SeqCst);
            handover.wake();
            assert_eq!(waiting.join().unwrap(), None);
        });
    }

    #[test]
    fn an_order_waits_for_a_thread_that_is_to_come() {
        let handover = Handover::default();
        handover.attend();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| block_on(handover.ask()));
            let number = handover.wait(Duration::from_secs(60), &|| false).unwrap();
            handover.give(number, Some(vec![1]));
            assert_eq!(asked.join().unwrap(), Some(vec![1]));
        });
    }
}
