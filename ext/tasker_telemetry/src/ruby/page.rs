use crate::error::{Error, Result};
use crate::helpers::arguments::Arguments;
use crate::helpers::method::{class, define};
use crate::helpers::nogvl::{without_gvl, Cancelled};
use crate::helpers::{scrape, telemetry};
use magnus::{IntoValue, RModule, RString, Ruby, Value};
use std::sync::{Mutex, PoisonError};
use tasker_telemetry_core::arena::Scrape;
use tasker_telemetry_core::export::formats::{Kind, Renderer};

/// What a body is made of, at least: large, since a thread that gives up the GVL may wait a time slice for it.
const CHUNK_BYTES: usize = 256 * 1024;

/// How much is rendered before the thread looks whether Ruby wants it back.
const STEP_BYTES: usize = 64 * 1024;

/// A page in the making.
pub struct Rendering {
    kind: Kind,
    scrape: Scrape,
    renderer: Option<Renderer>,
}

impl Rendering {
    /// Begins with the state of this moment. To be called with the GVL.
    pub fn begin(kind: Kind) -> Self {
        Self {
            kind,
            scrape: scrape(),
            renderer: None,
        }
    }

    /// Appends about `bytes` to `page`, or less when cancelled; answers whether there is more to come.
    fn render(&mut self, page: &mut Vec<u8>, bytes: usize, cancelled: &Cancelled) -> bool {
        let renderer = match &mut self.renderer {
            Some(renderer) => renderer,
            empty => empty.insert(telemetry().renderer(self.kind, self.scrape.snapshot())),
        };
        let wanted = page.len().saturating_add(bytes);
        loop {
            let more = renderer.chunk(page, wanted.min(page.len() + STEP_BYTES));
            if !more || page.len() >= wanted || cancelled.get() {
                return more;
            }
        }
    }

    /// The rest of the page. Without the GVL from begin to end, unless Ruby interrupts.
    pub fn rest(mut self) -> Result<Vec<u8>> {
        let mut page = Vec::new();
        while without_gvl(|cancelled| self.render(&mut page, usize::MAX, cancelled))? {}
        Ok(page)
    }
}

/// A page, or a piece of one, as a String: in UTF-8, or in no encoding where it is no text.
pub fn encoded(ruby: &Ruby, kind: Kind, page: &[u8]) -> RString {
    let encoding = if kind.is_binary() {
        ruby.ascii8bit_encoding()
    } else {
        ruby.utf8_encoding()
    };
    ruby.enc_str_new(page, encoding)
}

/// A page that is rendered piece by piece, for bodies that are streamed.
#[magnus::wrap(class = "TaskerTelemetry::Native::Page", free_immediately, size)]
pub struct Page {
    kind: Kind,
    state: Mutex<State>,
}

enum State {
    Open(Box<Rendering>),
    /// A thread is rendering, without the GVL.
    Busy,
    Done,
}

impl Page {
    pub fn begin(kind: Kind) -> Self {
        Self {
            kind,
            state: Mutex::new(State::Open(Box::new(Rendering::begin(kind)))),
        }
    }

    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }
}

/// What a thread has taken out of a page. However the thread leaves, the page is no longer busy afterwards.
struct Reading<'a> {
    page: &'a Page,
    unfinished: Option<Box<Rendering>>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.page
            .replace(self.unfinished.take().map_or(State::Done, State::Open));
    }
}

/// An interrupt that raises ends the page: what was rendered by then is lost.
fn next_chunk(ruby: &Ruby, this: &Page, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    let mut rendering = match this.replace(State::Busy) {
        State::Open(rendering) => rendering,
        State::Busy => return Err(Error::Native("another thread is reading this page".into())),
        State::Done => {
            this.replace(State::Done);
            return Ok(ruby.qnil().into_value_with(ruby));
        }
    };
    let mut reading = Reading {
        page: this,
        unfinished: None,
    };
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + STEP_BYTES);
    let mut more = true;
    // An interrupt may come before anything was rendered; an empty chunk would pass for the end.
    while more && chunk.is_empty() {
        more = without_gvl(|cancelled| rendering.render(&mut chunk, CHUNK_BYTES, cancelled))?;
    }
    reading.unfinished = more.then_some(rendering);
    let chunk = (!chunk.is_empty()).then(|| encoded(ruby, this.kind, &chunk));
    Ok(ruby.into_value(chunk))
}

/// Lets go of what the scrape holds, for a reader that stops before the end.
fn close(ruby: &Ruby, this: &Page, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    match this.replace(State::Done) {
        State::Busy => this.replace(State::Busy),
        other => other,
    };
    Ok(ruby.qnil().into_value_with(ruby))
}

pub fn init(ruby: &Ruby, native: RModule) -> Result<(), magnus::Error> {
    let class = class::<Page>(ruby, native, "Page")?;
    define(class, c"next_chunk", next_chunk);
    define(class, c"close", close);
    Ok(())
}
