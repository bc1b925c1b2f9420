use crate::error::{Error, Result};
use crate::helpers::guard::answering;
use crate::helpers::method::class;
use crate::helpers::nogvl::{without_gvl, Cancelled};
use crate::helpers::scrape;
use magnus::{method, Module, RModule, RString, Ruby};
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
            empty => empty.insert(Renderer::new(self.kind, self.scrape.snapshot())),
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

    /// An interrupt that raises ends the page: what was rendered by then has not been sent.
    fn next_chunk(ruby: &Ruby, this: &Self) -> Result<Option<RString>> {
        let mut rendering = match this.replace(State::Busy) {
            State::Open(rendering) => rendering,
            State::Busy => return Err(Error::Native("another thread is reading this page".into())),
            State::Done => {
                this.replace(State::Done);
                return Ok(None);
            }
        };
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + STEP_BYTES);
        let rendered = without_gvl(|cancelled| rendering.render(&mut chunk, CHUNK_BYTES, cancelled));
        this.replace(match rendered {
            Ok(true) => State::Open(rendering),
            Ok(false) | Err(_) => State::Done,
        });
        rendered?;
        Ok((!chunk.is_empty()).then(|| ruby.enc_str_new(&chunk, ruby.utf8_encoding())))
    }
}

pub fn init(ruby: &Ruby, native: RModule) -> Result<(), magnus::Error> {
    let class = class(ruby, native, "Page")?;
    class.define_method(
        "next_chunk",
        method!(|ruby: &Ruby, this: &Page| answering(|| Page::next_chunk(ruby, this)), 0),
    )?;
    class.define_method("content_type", method!(|this: &Page| this.kind.content_type(), 0))?;
    Ok(())
}
