//! A process that records as a test tells it to, through a socket. See `tasker_telemetry_tests::protocol`.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tasker_telemetry_core::arena::{self, Metric, Place, Quiescent, Registry, Scrape, Settings, Threads};
use tasker_telemetry_core::event::{self, Events, Key, Payload, Times};
use tasker_telemetry_core::export::formats::{self, Renderer};
use tasker_telemetry_core::lease::{Election, Office, Term};
use tasker_telemetry_core::metric::{Aggregation, Descriptor, Kind, LabelKey};
use tasker_telemetry_core::snapshot::{Point, Snapshot, Value};
use tasker_telemetry_tests::protocol::{amount, Burst, Churn, Meet};
use tasker_telemetry_tests::{Command, Ledger, Number, Random, Reply, Series, Target};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let socket = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: worker SOCKET")?);
    // SAFETY: children are nobody's to wait for, and the disposition is set before any is made.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    Worker {
        registry: Registry::new(Threads::Serialized),
        handles: HashMap::new(),
        held: None,
        events: None,
        offices: HashMap::new(),
        socket,
    }
    .serve()
}

struct Worker {
    registry: Arc<Registry>,
    handles: HashMap<String, Arc<arena::Series>>,
    held: Option<Scrape>,
    events: Option<Events>,
    offices: HashMap<String, (Election, Option<Term>)>,
    socket: PathBuf,
}

/// The payload of an event.
struct Texts(Vec<(String, String)>);

impl Payload for Texts {
    fn get(&self, key: Key) -> Option<event::Value<'_>> {
        let (_, text) = self.0.iter().find(|(name, _)| name == key.name())?;
        Some(event::Value::Text(text.into()))
    }

    fn for_each(&self, visit: &mut dyn FnMut(&str, event::Value<'_>)) {
        self.0
            .iter()
            .for_each(|(name, text)| visit(name, event::Value::Text(text.into())));
    }
}

/// In which process the caller of fork goes on.
enum Side {
    Parent(u32),
    Child,
}

fn fork() -> Result<Side, Failure> {
    // SAFETY: the worker has no other threads while it serves.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error().into()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid as u32)),
    }
}

impl Worker {
    fn serve(&mut self) -> Result<(), Failure> {
        let mut stream = BufReader::new(self.greet()?);
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let reply = match serde_json::from_str(&line)? {
                Command::Exit => return Ok(()),
                Command::Fork(namespace) => match self.fork(namespace) {
                    Ok(Side::Parent(pid)) => Reply::Forked(pid),
                    Ok(Side::Child) => {
                        stream = BufReader::new(self.greet()?);
                        continue;
                    }
                    Err(error) => Reply::Failed(error.to_string()),
                },
                Command::Daemonise => {
                    if let Side::Child = fork()? {
                        // SAFETY: a plain system call.
                        unsafe { libc::setsid() };
                        match fork()? {
                            // SAFETY: ends the process in between without running what its parent registered.
                            Side::Parent(_) => unsafe { libc::_exit(0) },
                            Side::Child => {
                                stream = BufReader::new(self.greet()?);
                                continue;
                            }
                        }
                    }
                    Reply::Done
                }
                command => self
                    .obey(command)
                    .unwrap_or_else(|error| Reply::Failed(error.to_string())),
            };
            let mut text = serde_json::to_string(&reply)?;
            text.push('\n');
            stream.get_mut().write_all(text.as_bytes())?;
        }
    }

    fn greet(&self) -> Result<UnixStream, Failure> {
        let mut stream = UnixStream::connect(&self.socket)?;
        let mut hello = serde_json::to_string(&Reply::Hello(std::process::id()))?;
        hello.push('\n');
        stream.write_all(hello.as_bytes())?;
        Ok(stream)
    }

    fn fork(&self, namespace: bool) -> Result<Side, Failure> {
        if namespace {
            // SAFETY: a plain system call.
            let result = unsafe { libc::unshare(libc::CLONE_NEWPID) };
            if result != 0 {
                let error = std::io::Error::last_os_error();
                return Err(format!("a new pid namespace takes root (CAP_SYS_ADMIN): {error}").into());
            }
        }
        self.registry.prepare_fork();
        fork()
    }

    fn obey(&mut self, command: Command) -> Result<Reply, Failure> {
        match command {
            Command::Open {
                arena,
                service,
                max_series,
                idle_expiry,
                parallel,
                default_labels,
            } => {
                if parallel {
                    self.registry = Registry::new(Threads::Parallel);
                    self.events = None;
                }
                self.registry.configure(Settings {
                    place: arena.map_or(Place::Memory, Place::Path),
                    service,
                    environment: "test".to_owned(),
                    max_series,
                    idle_expiry: idle_expiry.map(Duration::from_millis),
                    default_labels,
                    ..Settings::default()
                })?;
            }
            Command::Declare {
                name,
                help,
                kind,
                labels,
                buckets,
            } => {
                let kind = match kind.as_str() {
                    "counter" => Kind::Counter,
                    "histogram" => Kind::Histogram,
                    gauge => Kind::Gauge(Aggregation::from_name(gauge).ok_or("no such kind")?),
                };
                let buckets = (kind == Kind::Histogram).then_some(buckets);
                self.registry
                    .declare(Descriptor::new(&name, &help, None, kind, &labels, buckets)?)?;
            }
            Command::Bind { handle, metric, values } => {
                let series = self.metric(&metric)?.series(&key(&values));
                self.handles.insert(handle, series);
            }
            Command::Increment(target, by, times) => match self.target(&target)? {
                Sink::Bound(series) => (0..times).for_each(|_| series.increment_int(by)),
                Sink::Unbound(metric, key) => (0..times).for_each(|_| metric.increment_int(key.as_bytes(), by)),
            },
            Command::Adjust(target, by) => match self.target(&target)? {
                Sink::Bound(series) => series.increment(by)?,
                Sink::Unbound(metric, key) => metric.increment(key.as_bytes(), by)?,
            },
            Command::Set(target, to) => match self.target(&target)? {
                Sink::Bound(series) => series.set(to)?,
                Sink::Unbound(metric, key) => metric.set(key.as_bytes(), to)?,
            },
            Command::Observe(target, value) => match self.target(&target)? {
                Sink::Bound(series) => series.observe(value)?,
                Sink::Unbound(metric, key) => metric.observe(key.as_bytes(), value)?,
            },
            Command::Value(target) => {
                let value = match self.target(&target)? {
                    Sink::Bound(series) => series.value(),
                    Sink::Unbound(metric, key) => metric.value(key.as_bytes()),
                };
                return Ok(Reply::Value(value.as_ref().map(number)));
            }
            Command::Tell {
                name,
                payload,
                at,
                times,
            } => {
                let registry = Arc::clone(&self.registry);
                let events = self.events.get_or_insert_with(|| Events::new(registry));
                let (route, payload) = (events.route(&name), Texts(payload));
                let at = Times::at(at * 1_000_000);
                let first = (0..times).filter(|_| !events.finish(&route, &payload, at).duplicate);
                return Ok(Reply::Count(first.count() as u64));
            }
            Command::Remove(target) => {
                let removed = match self.target(&target)? {
                    Sink::Bound(series) => series.remove(),
                    Sink::Unbound(metric, key) => metric.remove(key.as_bytes()),
                };
                return Ok(Reply::Count(u64::from(removed)));
            }
            Command::Clear(name) => return Ok(Reply::Count(self.metric(&name)?.clear() as u64)),
            Command::ClearAll => return Ok(Reply::Count(self.registry.clear(Quiescent::promise()) as u64)),
            Command::Hold => self.held = Some(self.registry.begin_scrape(Quiescent::promise())),
            Command::ReadHeld => {
                let held = self.held.take().ok_or("nothing is held")?;
                return Ok(Reply::Picture(picture(&held.snapshot())));
            }
            Command::Scrape => {
                let scrape = self.registry.begin_scrape(Quiescent::promise());
                return Ok(Reply::Picture(picture(&scrape.snapshot())));
            }
            Command::Page(format) => {
                let kind = formats::find(&format).ok_or("no such format")?;
                let scrape = self.registry.begin_scrape(Quiescent::promise());
                let mut renderer = Renderer::new(kind, scrape.snapshot());
                let mut page = Vec::new();
                while renderer.chunk(&mut page, 1 << 16) {}
                return Ok(Reply::Text(String::from_utf8(page)?));
            }
            Command::Status => {
                let status = self.registry.status(Quiescent::promise());
                return Ok(Reply::Text(serde_json::to_string(&status)?));
            }
            Command::Notices => {
                let notices = self.registry.take_notices();
                let messages: Vec<_> = notices.into_iter().map(|notice| notice.message).collect();
                return Ok(Reply::Text(serde_json::to_string(&messages)?));
            }
            Command::Burst(burst) => self.burst(&burst)?,
            Command::Churn(churn) => self.churn(&churn)?,
            Command::Meet(meet) => self.meet(&meet)?,
            Command::Note(key, value) => self.registry.notes().set(key, value, now()),
            Command::Noted(key) => return Ok(Reply::Number(self.registry.notes().get(key))),
            Command::Campaign(office, interval) => {
                return Ok(Reply::Number(self.campaign(office, Duration::from_millis(interval))?));
            }
            Command::StillHeld(office) => {
                let term = self.offices.get(&office).and_then(|(_, term)| term.as_ref());
                return Ok(Reply::Count(term.is_some_and(Term::still_held).into()));
            }
            Command::Resign(office) => {
                let term = self.offices.get_mut(&office).and_then(|(_, term)| term.take());
                term.ok_or("it holds no such office")?.resign();
            }
            // Safe because no other thread runs: nobody else reads the environment.
            Command::Arm(failpoint) => std::env::set_var(arena::fail::VARIABLE, failpoint),
            Command::Exit | Command::Fork(_) | Command::Daemonise => return Err("not here".into()),
        }
        Ok(Reply::Done)
    }

    fn metric(&self, name: &str) -> Result<Arc<Metric>, Failure> {
        Ok(self
            .registry
            .find(name)
            .ok_or_else(|| format!("{name} is not declared"))?)
    }

    fn target(&self, target: &Target) -> Result<Sink, Failure> {
        Ok(match target {
            Target::Bound(handle) => Sink::Bound(Arc::clone(
                self.handles.get(handle).ok_or_else(|| format!("no handle {handle}"))?,
            )),
            Target::Labels(metric, values) => Sink::Unbound(self.metric(metric)?, key(values)),
        })
    }

    /// Campaigns as a program does: in the arena that is at its place now.
    fn campaign(&mut self, office: String, interval: Duration) -> Result<Option<u64>, Failure> {
        let election = match self.offices.remove(&office) {
            Some((election, _)) if !election.is_over() => election,
            _ => {
                let named = match office.as_str() {
                    "push" => Office::Push,
                    "sync" => Office::Sync,
                    _ => return Err("no such office".into()),
                };
                Election::new(&self.registry, named).ok_or("there is no arena")?
            }
        };
        let term = election.campaign(interval);
        let token = term.as_ref().map(Term::token);
        self.offices.insert(office, (election, term));
        Ok(token)
    }

    fn meet(&self, meet: &Meet) -> Result<(), Failure> {
        let ledger = Ledger::open(&meet.ledger, meet.keys)?;
        let mut random = Random::new(meet.seed);
        let mut keys: Vec<usize> = (0..meet.keys).collect();
        for last in (1..keys.len()).rev() {
            keys.swap(last, random.below(last as u64 + 1) as usize);
        }
        for key in keys {
            if self.registry.notes().first(key as u64, now()) {
                ledger.add(key, 1);
            }
        }
        Ok(())
    }

    fn burst(&self, burst: &Burst) -> Result<(), Failure> {
        let ledger = Ledger::open(&burst.ledger, burst.words)?;
        let (counter, histogram) = (self.metric(&burst.counter)?, self.metric(&burst.histogram)?);
        let keys: Vec<LabelKey> = (0..burst.variants)
            .map(|variant| LabelKey::of([variant.to_string().as_str()]))
            .collect();
        std::thread::scope(|scope| {
            for thread in 0..burst.threads {
                let (ledger, keys, counter, histogram) = (&ledger, &keys, &counter, &histogram);
                scope.spawn(move || {
                    let counters: Vec<_> = keys.iter().map(|key| counter.series(key)).collect();
                    let histograms: Vec<_> = keys.iter().map(|key| histogram.series(key)).collect();
                    let row = burst.row + 2 * thread;
                    for sample in (0..).take_while(|_| ledger.get(burst.enough) == 0) {
                        let variant = (sample / 2 % burst.variants) as usize;
                        match (sample % 2, burst.bound) {
                            (0, true) => counters[variant].increment_int(1),
                            (0, false) => counter.increment_int(keys[variant].as_bytes(), 1),
                            // A finite number is never refused.
                            (_, true) => drop(histograms[variant].observe(0.5)),
                            (_, false) => drop(histogram.observe(keys[variant].as_bytes(), 0.5)),
                        }
                        ledger.add(row + (sample % 2) as usize, 1);
                    }
                });
            }
        });
        Ok(())
    }

    fn churn(&self, churn: &Churn) -> Result<(), Failure> {
        const KEPT: usize = 64;
        const LATER: u64 = 1000;
        let ledger = Ledger::open(&churn.ledger, churn.words)?;
        let counter = self.metric(&churn.counter)?;
        let mut random = Random::new(churn.seed);
        // Handles to label sets of before, most of which have been removed or have expired by the time they are used.
        let mut kept: Vec<(u64, Arc<arena::Series>)> = Vec::new();
        for set in churn.first..churn.first + churn.sets {
            let labels = LabelKey::of([set.to_string().as_str()]);
            let dice = random.below(64);
            let count = |set: u64, write: &dyn Fn()| {
                ledger.set(churn.row + 1, amount(set));
                write();
                ledger.add(churn.row, amount(set));
                ledger.set(churn.row + 1, 0);
            };
            if dice < 2 {
                let series = counter.series(&labels);
                count(set, &|| series.increment_int(amount(set)));
                kept.push((set, series));
            } else {
                count(set, &|| counter.increment_int(labels.as_bytes(), amount(set)));
            }
            // Some go at once, some later, and the rest when they have been idle.
            if dice < churn.removed {
                counter.remove(labels.as_bytes());
            }
            if (dice == 48 || dice == 49) && set >= churn.first + LATER {
                counter.remove(LabelKey::of([(set - LATER).to_string().as_str()]).as_bytes());
            }
            if kept.len() > KEPT {
                let (set, series) = kept.swap_remove(random.below(KEPT as u64) as usize);
                count(set, &|| series.increment_int(amount(set)));
            }
            ledger.set(churn.row + 2, set + 1);
        }
        Ok(())
    }
}

/// Seconds since the Unix epoch.
fn now() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() as u32)
}

/// Where a sample goes.
enum Sink {
    Bound(Arc<arena::Series>),
    Unbound(Arc<Metric>, LabelKey),
}

fn key(values: &[String]) -> LabelKey {
    LabelKey::of(values.iter().map(String::as_str))
}

fn number(value: &Value) -> Number {
    match value {
        Value::Counter(count) => Number::Counter(count.int, count.float),
        Value::Gauge(value) => Number::Gauge(*value),
        Value::Histogram(histogram) => Number::Histogram(histogram.buckets.clone(), histogram.sum),
    }
}

fn picture(snapshot: &Snapshot) -> Vec<Series> {
    let mut all = Vec::new();
    let mut point = Point::new();
    for family in &snapshot.families {
        for index in 0..family.len() {
            if family.load(index, &mut point) {
                all.push(Series {
                    name: family.descriptor.name.clone(),
                    superseded: family.superseded,
                    labels: point
                        .labels(&family.descriptor)
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect(),
                    value: number(&point.value),
                });
            }
        }
    }
    all
}
