#![allow(unsafe_code)]

use crate::protocol::{Command, Number, Reply, Series, Target};
use crate::{until, DEADLINE};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A process that records as it is told.
pub struct Worker {
    /// Its pid, as the test sees it.
    pub pid: u32,
    /// Whether its pid may belong to another process by now.
    gone: bool,
    stream: Option<BufReader<UnixStream>>,
    /// What has arrived of an answer that was not waited for to its end.
    begun: Vec<u8>,
}

impl Worker {
    pub(crate) fn new(pid: u32, stream: UnixStream) -> Self {
        Self {
            pid,
            gone: false,
            stream: Some(BufReader::new(stream)),
            begun: Vec::new(),
        }
    }

    pub(crate) fn into_stream(mut self) -> UnixStream {
        self.stream.take().expect("a worker has a stream").into_inner()
    }

    fn stream(&mut self) -> &mut BufReader<UnixStream> {
        self.stream.as_mut().expect("a worker has a stream")
    }

    /// Tells the worker to do something, without waiting for it.
    ///
    /// # Panics
    /// When it is gone.
    pub fn send(&mut self, command: &Command) {
        let mut line = serde_json::to_string(command).unwrap();
        line.push('\n');
        self.stream().get_mut().write_all(line.as_bytes()).unwrap();
    }

    /// The next answer, if one comes within the deadline and the worker lives.
    ///
    /// # Errors
    /// Why there is none.
    pub fn try_reply(&mut self) -> Result<Reply, String> {
        self.reply_within(DEADLINE)
    }

    /// The next answer, if one comes within `deadline` and the worker lives.
    ///
    /// # Errors
    /// Why there is none.
    pub fn reply_within(&mut self, deadline: std::time::Duration) -> Result<Reply, String> {
        let pid = self.pid;
        let stream = self.stream.as_mut().expect("a worker has a stream");
        stream
            .get_ref()
            .set_read_timeout(Some(deadline))
            .map_err(|error| error.to_string())?;
        match stream.read_until(b'\n', &mut self.begun) {
            Ok(_) if !self.begun.ends_with(b"\n") => Err(format!("worker {pid} is gone")),
            Ok(_) => {
                let line = std::mem::take(&mut self.begun);
                serde_json::from_slice(&line)
                    .map_err(|error| format!("{error}: {:.500}", String::from_utf8_lossy(&line)))
            }
            Err(error) => Err(format!("worker {pid}: {error}")),
        }
    }

    /// The next answer.
    ///
    /// # Panics
    /// When none comes.
    pub fn reply(&mut self) -> Reply {
        match self.try_reply() {
            Ok(reply) => reply,
            Err(error) => panic!("{error}"),
        }
    }

    /// Does something and waits for it.
    ///
    /// # Panics
    /// When it fails or takes too long.
    pub fn call(&mut self, command: Command) -> Reply {
        self.send(&command);
        match self.reply() {
            Reply::Failed(error) => panic!("worker {} failed at {command:?}: {error}", self.pid),
            reply => reply,
        }
    }

    /// Does something that has no answer of its own.
    ///
    /// # Panics
    /// As [`Self::call`].
    pub fn done(&mut self, command: Command) -> &mut Self {
        match self.call(command) {
            Reply::Done => self,
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    /// Configures a registry with the usual settings.
    pub fn open(&mut self, arena: &Path) -> &mut Self {
        self.done(usual(arena))
    }

    /// Declares a metric without help text.
    pub fn declare(&mut self, name: &str, kind: &str, labels: &[&str]) -> &mut Self {
        self.done(Command::Declare {
            name: name.to_owned(),
            help: format!("About {name}"),
            kind: kind.to_owned(),
            labels: labels.iter().map(ToString::to_string).collect(),
            buckets: vec![0.1, 1.0, 10.0],
        })
    }

    /// Binds a handle.
    pub fn bind(&mut self, handle: &str, metric: &str, values: &[&str]) -> &mut Self {
        self.done(Command::Bind {
            handle: handle.to_owned(),
            metric: metric.to_owned(),
            values: values.iter().map(ToString::to_string).collect(),
        })
    }

    /// Adds to a counter.
    pub fn increment(&mut self, target: Target, by: u64) -> &mut Self {
        self.done(Command::Increment(target, by, 1))
    }

    /// Sets a gauge.
    pub fn set(&mut self, target: Target, to: f64) -> &mut Self {
        self.done(Command::Set(target, to))
    }

    /// Observes a value.
    pub fn observe(&mut self, target: Target, value: f64) -> &mut Self {
        self.done(Command::Observe(target, value))
    }

    /// Tells of an event, some times, and answers how many times it was the first to tell of its transition.
    pub fn tell(&mut self, name: &str, payload: &[(&str, &str)], at: i64, times: u64) -> u64 {
        match self.call(tell(name, payload, at, times)) {
            Reply::Count(first) => first,
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    /// Value of a series.
    pub fn value(&mut self, target: Target) -> Option<Number> {
        match self.call(Command::Value(target)) {
            Reply::Value(value) => value,
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    /// Whether a series was there to be removed.
    pub fn remove(&mut self, target: Target) -> bool {
        match self.call(Command::Remove(target)) {
            Reply::Count(count) => count > 0,
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    /// Every series that a scrape shows.
    pub fn scrape(&mut self) -> Vec<Series> {
        match self.call(Command::Scrape) {
            Reply::Picture(series) => series,
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    /// The series of one metric, superseded ones left out.
    ///
    /// # Panics
    /// When two of them have the same labels.
    pub fn series(&mut self, name: &str) -> Vec<Series> {
        let mut series = self.scrape();
        series.retain(|series| series.name == name && !series.superseded);
        let labels: std::collections::HashSet<_> = series.iter().map(|series| &series.labels).collect();
        assert_eq!(labels.len(), series.len(), "a series is there twice: {series:?}");
        series
    }

    /// Total of all series of a counter, observations of all series of a histogram.
    pub fn total(&mut self, name: &str) -> u64 {
        self.series(name).iter().map(|series| series.value.count()).sum()
    }

    /// The value that was noted of a key.
    pub fn noted(&mut self, key: u64) -> Option<u64> {
        self.number(Command::Noted(key))
    }

    /// Campaigns for an office at an interval in milliseconds; the token of the term, if it holds one then.
    pub fn campaign(&mut self, office: &str, interval: u64) -> Option<u64> {
        self.number(Command::Campaign(office.to_owned(), interval))
    }

    /// Whether it still holds an office.
    pub fn still_holds(&mut self, office: &str) -> bool {
        match self.call(Command::StillHeld(office.to_owned())) {
            Reply::Count(held) => held > 0,
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    fn number(&mut self, command: Command) -> Option<u64> {
        match self.call(command) {
            Reply::Number(number) => number,
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    /// A page.
    pub fn page(&mut self, format: &str) -> String {
        match self.call(Command::Page(format.to_owned())) {
            Reply::Text(page) => page,
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    /// What `status` tells.
    pub fn status(&mut self) -> serde_json::Value {
        match self.call(Command::Status) {
            Reply::Text(status) => serde_json::from_str(&status).unwrap(),
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    /// The label by which its own series are told from those of other processes.
    ///
    /// # Panics
    /// When it does not find itself among the processes, or more than once.
    pub fn process(&mut self) -> String {
        let status = self.status();
        let processes = status["arena"]["processes"].as_array().unwrap();
        let mut own = processes.iter().filter(|process| process["this"] == true);
        match (own.next(), own.next()) {
            (Some(own), None) => own["process"].as_str().unwrap().to_owned(),
            _ => panic!("one of these is worker {}: {processes:?}", self.pid),
        }
    }

    /// Messages to be logged.
    pub fn notices(&mut self) -> Vec<String> {
        match self.call(Command::Notices) {
            Reply::Text(notices) => serde_json::from_str(&notices).unwrap(),
            other => panic!("unexpected answer: {other:?}"),
        }
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: a plain system call; the pid is one that this test has started.
        unsafe { libc::kill(self.pid as libc::pid_t, signal) };
    }

    /// Ends the worker as nothing can keep it from.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.wait_gone();
        self.gone = true;
    }

    /// Stops the worker.
    pub fn stop(&mut self) {
        self.signal(libc::SIGSTOP);
        self.wait_stopped();
    }

    /// Lets a stopped worker go on.
    pub fn go_on(&mut self) {
        self.signal(libc::SIGCONT);
    }

    /// State of the process, as proc(5) has it; `None` when it is gone.
    #[must_use]
    pub fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        stat.rsplit(')').next()?.trim_start().chars().next()
    }

    /// Waits until the worker is stopped.
    pub fn wait_stopped(&self) {
        until("a worker to stop", || (self.state() == Some('T')).then_some(()));
    }

    /// Waits until the worker is gone.
    pub fn wait_gone(&self) {
        until("a worker to end", || {
            matches!(self.state(), None | Some('Z' | 'X')).then_some(())
        });
    }

    /// Ends the worker as programs end.
    pub fn exit(&mut self) {
        self.send(&Command::Exit);
        self.wait_gone();
        self.gone = true;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.pid != 0 && !self.gone && self.stream.is_some() {
            self.signal(libc::SIGKILL);
        }
    }
}

/// Asserts that all these count into one arena, and answers its id.
///
/// # Panics
/// When they do not.
pub fn one_arena<'a>(workers: impl IntoIterator<Item = &'a mut Worker>) -> String {
    let ids: Vec<String> = workers
        .into_iter()
        .map(|worker| worker.status()["arena"]["id"].to_string())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one arena: {ids:?}");
    ids[0].clone()
}

/// See [`Command::Tell`].
#[must_use]
pub fn tell(name: &str, payload: &[(&str, &str)], at: i64, times: u64) -> Command {
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Command::Tell {
        name: name.to_owned(),
        payload: payload.iter().map(text).collect(),
        at,
        times,
    }
}

/// Settings of most tests.
#[must_use]
pub fn usual(arena: &Path) -> Command {
    Command::Open {
        arena: Some(arena.to_owned()),
        service: "shop".to_owned(),
        max_series: 10_000,
        idle_expiry: None,
        parallel: false,
        default_labels: Vec::new(),
    }
}
