//! A process that forks while its spans are on their way: `forker URL hooks|bypass DEPTH CHILDREN`.
//!
//! It sends spans named `0 0` to `0 4`, waits for a line on its standard input, forks, and says how many microseconds
//! that took. Each child sends spans of its own depth and forks too while `DEPTH` lasts. On another line it flushes,
//! waits for its children and ends; its exit status is 0 when all was delivered.

#![allow(unsafe_code)]

use std::io::{stdin, BufRead};
use std::time::Instant;
use tasker_telemetry_tests::sending::Sending;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("usage: forker URL hooks|bypass DEPTH CHILDREN");
    let (url, hooks, depth, children) = (next(), next() == "hooks", number(&next()), number(&next()));
    let forker = Forker {
        sending: Sending::to(&url, &[]),
        hooks,
        children,
    };
    (0..5).for_each(|index| forker.sending.span(format!("0 {index}")));
    wait_for_line();
    let begun = Instant::now();
    let born = forker.fork(1, depth);
    println!("{}", begun.elapsed().as_micros());
    wait_for_line();
    forker.end(born);
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn wait_for_line() {
    let mut line = String::new();
    stdin().lock().read_line(&mut line).expect("standard input");
}

struct Forker {
    sending: Sending,
    hooks: bool,
    children: usize,
}

impl Forker {
    /// Forks children of that depth and answers how many there are. They do not return.
    fn fork(&self, depth: usize, deepest: usize) -> usize {
        if depth > deepest {
            return 0;
        }
        // A span that the parent ends: the child that has a copy of it must not.
        let mut open = self.sending.tracer.start(
            format!("open {} {}", depth, std::process::id()),
            tasker_telemetry_core::trace::SpanKind::Internal,
            None,
        );
        for child in 0..self.children {
            if self.hooks {
                self.sending.runtime.before_fork();
            }
            // SAFETY: the child uses what the parent used, which is what is tested.
            match unsafe { libc::fork() } {
                -1 => panic!("{}", std::io::Error::last_os_error()),
                0 => {
                    if self.hooks {
                        self.sending.runtime.after_fork_child();
                    }
                    open.end(None);
                    self.sending.span(format!("{depth} {}", std::process::id()));
                    if depth == deepest && child == 0 {
                        // Ends at once, without what it has not sent.
                        // SAFETY: ends the child without what its parent registered.
                        unsafe { libc::_exit(0) };
                    }
                    let born = self.fork(depth + 1, deepest);
                    self.end(born);
                }
                _ if self.hooks => self.sending.runtime.after_fork_parent(),
                _ => {}
            }
        }
        open.end(None);
        self.children
    }

    fn end(&self, children: usize) -> ! {
        let mut status = i32::from(!self.sending.flush());
        for _ in 0..children {
            let mut of_child = 0;
            // SAFETY: a plain system call.
            unsafe { libc::waitpid(-1, &raw mut of_child, 0) };
            status |= i32::from(of_child != 0);
        }
        // SAFETY: as above; a child must not run what its parent registered.
        unsafe { libc::_exit(status) }
    }
}
