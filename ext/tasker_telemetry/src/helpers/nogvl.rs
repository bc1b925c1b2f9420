//! Work without the GVL.

#![allow(unsafe_code)]

use super::jump::{hear_again, protect, Jump};
use std::ffi::{c_int, c_void};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Whether Ruby wants the thread back: a signal, `Thread#kill`, `Thread#raise`, a timeout.
pub struct Cancelled<'a> {
    cancelled: AtomicBool,
    wake: &'a (dyn Fn() + Sync),
}

impl Cancelled<'_> {
    /// To be asked often, or after each wake; then work returns with what it has, and goes on in another call of
    /// [`without_gvl`].
    pub fn get(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

struct Job<'a, F, T> {
    work: &'a mut F,
    result: Option<thread::Result<T>>,
    cancelled: &'a Cancelled<'a>,
}

/// Runs `work` once without the GVL, then lets Ruby act on what interrupted it.
///
/// `Send` keeps Ruby objects out of `work`. The answer is dropped when Ruby's interrupt raises.
pub fn without_gvl<T: Send>(work: impl FnMut(&Cancelled<'_>) -> T + Send) -> Result<T, Jump> {
    // All that happens to it is one atomic store, which a signal's handler may do. Without that promise Ruby starts a
    // thread for each call in a process that has but one.
    interruptible(&|| {}, rb_sys::RB_NOGVL_UBF_ASYNC_SAFE, work)
}

/// The same for work that does not ask often: another thread calls `wake` when it is to ask. That must not block.
pub fn without_gvl_until<T: Send>(
    wake: &(dyn Fn() + Sync),
    work: impl FnMut(&Cancelled<'_>) -> T + Send,
) -> Result<T, Jump> {
    interruptible(wake, 0, work)
}

/// How often Ruby may refuse to release the GVL before the work is done with it. Interrupts come in between, but not so
/// many at once.
const REFUSALS: u32 = 10;

fn interruptible<T: Send>(
    wake: &(dyn Fn() + Sync),
    flags: u32,
    mut work: impl FnMut(&Cancelled<'_>) -> T + Send,
) -> Result<T, Jump> {
    let mut refusals = 0;
    loop {
        let cancelled = Cancelled {
            cancelled: AtomicBool::new(false),
            wake,
        };
        // Ruby that acts on no interrupt, and cannot be made to, would refuse for ever.
        let result = match refusals {
            0..REFUSALS => release(&mut work, &cancelled, flags),
            _ => Some(Ok(work(&cancelled))),
        };
        let result = match result {
            Some(Err(panic)) => resume_unwind(panic),
            Some(Ok(value)) => Some(value),
            None => None,
        };
        // A pending interrupt keeps Ruby from starting the work at all (`None`): it has to be acted upon first.
        if result.is_none() || cancelled.get() {
            if refusals > 0 {
                hear_again();
            }
            refusals += 1;
            // SAFETY: the GVL is held again. What the interrupt raises is caught by `protect`, so nothing jumps over
            // the frames of Rust.
            protect(|| unsafe {
                rb_sys::rb_thread_check_ints();
                rb_sys::Qnil as rb_sys::VALUE
            })?;
        }
        if let Some(value) = result {
            return Ok(value);
        }
    }
}

fn release<F, T>(work: &mut F, cancelled: &Cancelled<'_>, flags: u32) -> Option<thread::Result<T>>
where
    F: FnMut(&Cancelled<'_>) -> T + Send,
    T: Send,
{
    let mut job = Job {
        work,
        result: None,
        cancelled,
    };
    // SAFETY: `job` and `cancelled` outlive the call, which returns only after `run` has; `unblock` is called by
    // other threads in the meantime, and touches the atomic flag and what is `Sync`. `INTR_FAIL` keeps Ruby from
    // raising by itself, so it cannot jump over these frames.
    unsafe {
        rb_sys::rb_nogvl(
            Some(run::<F, T>),
            (&raw mut job).cast(),
            Some(unblock),
            std::ptr::from_ref(cancelled).cast_mut().cast(),
            (flags | rb_sys::RB_NOGVL_INTR_FAIL) as c_int,
        );
    }
    job.result
}

unsafe extern "C" fn run<F, T>(job: *mut c_void) -> *mut c_void
where
    F: FnMut(&Cancelled<'_>) -> T,
{
    // SAFETY: `release` passes its own `Job<F, T>`, and does not touch it before this returns.
    let job = unsafe { &mut *job.cast::<Job<'_, F, T>>() };
    // A panic must not unwind through the frames of C that are above.
    job.result = Some(catch_unwind(AssertUnwindSafe(|| (job.work)(job.cancelled))));
    null_mut()
}

unsafe extern "C" fn unblock(cancelled: *mut c_void) {
    // SAFETY: `release` passes a `Cancelled` that lives until the work has returned; Ruby calls no unblock function
    // after that.
    let cancelled = unsafe { &*cancelled.cast::<Cancelled<'_>>() };
    cancelled.cancelled.store(true, Ordering::SeqCst);
    // A panic must not unwind through the frames of C that are above.
    let _ = catch_unwind(AssertUnwindSafe(cancelled.wake));
}
