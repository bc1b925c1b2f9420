use crate::protocol::{Command, Reply};
use crate::worker::Worker;
use crate::{until, Ledger};
use std::cell::{Cell, RefCell};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use tasker_telemetry_core::arena::fail;

/// A directory of its own for one test, and the socket through which its workers are reached.
pub struct Stage {
    directory: tempfile::TempDir,
    listener: UnixListener,
    ledgers: Cell<usize>,
    children: RefCell<Vec<process::Child>>,
}

impl Stage {
    /// A stage with no workers, in shared memory where there is some.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn new() -> Self {
        let shm = Path::new("/dev/shm");
        let root = if shm.is_dir() {
            shm.to_owned()
        } else {
            std::env::temp_dir()
        };
        let directory = tempfile::Builder::new()
            .prefix("tasker_telemetry_test")
            .tempdir_in(root)
            .unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            directory,
            listener,
            ledgers: Cell::new(0),
            children: RefCell::default(),
        }
    }

    /// The stage's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the arena of this test is.
    #[must_use]
    pub fn arena(&self) -> PathBuf {
        self.directory.path().join("arena/file")
    }

    /// A new ledger, and its file.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn ledger(&self, words: usize) -> (Ledger, PathBuf) {
        self.ledgers.set(self.ledgers.get() + 1);
        let path = self.directory.path().join(format!("ledger{}", self.ledgers.get()));
        (Ledger::open(&path, words).unwrap(), path)
    }

    /// A worker that has done nothing yet.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn worker(&self) -> Worker {
        let mut command = process::Command::new(program());
        command.arg(self.directory.path().join("socket"));
        let spawned = command.env_remove(fail::VARIABLE).spawn();
        let child = spawned.expect("the program worker is built beside the tests");
        let pid = child.id();
        self.children.borrow_mut().push(child);
        let (stream, _) = self.admit();
        Worker::new(pid, stream)
    }

    /// A worker with the registry of the whole stage: its arena, a cap of 10 000.
    #[must_use]
    pub fn open(&self) -> Worker {
        let mut worker = self.worker();
        worker.open(&self.arena());
        worker
    }

    /// A forked child of `parent`.
    #[must_use]
    pub fn fork(&self, parent: &mut Worker) -> Worker {
        self.forked(parent, Command::Fork(false))
    }

    /// A forked child of `parent` in a pid namespace of its own, in which it has the pid 1.
    ///
    /// # Panics
    /// Where that is not permitted.
    #[must_use]
    pub fn fork_into_namespace(&self, parent: &mut Worker) -> Worker {
        self.forked(parent, Command::Fork(true))
    }

    /// A daemon that `parent` started.
    #[must_use]
    pub fn daemonise(&self, parent: &mut Worker) -> Worker {
        parent.done(Command::Daemonise);
        let (stream, pid) = self.admit();
        Worker::new(pid, stream)
    }

    fn forked(&self, parent: &mut Worker, command: Command) -> Worker {
        let pid = match parent.call(command) {
            Reply::Forked(pid) => pid,
            other => panic!("no child: {other:?}"),
        };
        let (stream, _) = self.admit();
        Worker::new(pid, stream)
    }

    fn admit(&self) -> (UnixStream, u32) {
        let stream = until("a worker to introduce itself", || self.listener.accept().ok()).0;
        stream.set_nonblocking(false).unwrap();
        let mut newcomer = Worker::new(0, stream);
        match newcomer.reply() {
            Reply::Hello(pid) => (newcomer.into_stream(), pid),
            other => panic!("no greeting: {other:?}"),
        }
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.children.borrow_mut().iter_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap_or_default();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("worker")
}
