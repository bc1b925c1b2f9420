//! Arrays and Hashes of a payload as JSON text, bounded whatever they hold: cycles, a million entries, huge strings.

#![allow(unsafe_code)]

use super::field::{described, scalar, time};
use super::jump::Jump;
use magnus::Ruby;
use rb_sys::macros::{RARRAY_LEN, RB_TYPE_P};
use rb_sys::ruby_value_type as Type;
use rb_sys::{st_retval, VALUE};
use std::borrow::Cow;
use std::ffi::c_int;
use tasker_telemetry_core::event::{Redactor, Value};

/// How deep is looked; what is deeper, as in a cycle, is shown as `…`.
const DEPTH: u32 = 5;

/// Renders `value`, which stands under the name that `path` is. What the redactor masks is masked at every depth.
pub fn render(ruby: &Ruby, value: VALUE, redactor: &Redactor, path: &str, bytes: usize) -> Result<String, Jump> {
    let mut rendering = Rendering {
        ruby,
        redactor,
        path: if redactor.has_paths() {
            path.to_owned()
        } else {
            String::new()
        },
        bytes,
        out: String::new(),
    };
    rendering.value(value, DEPTH)?;
    Ok(rendering.out)
}

struct Rendering<'a> {
    ruby: &'a Ruby,
    redactor: &'a Redactor,
    /// The names of what is rendered and of all that it is in, joined by dots; kept where the redactor asks for it.
    path: String,
    bytes: usize,
    out: String,
}

impl Rendering<'_> {
    fn full(&self) -> bool {
        self.out.len() >= self.bytes
    }

    fn value(&mut self, value: VALUE, depth: u32) -> Result<(), Jump> {
        if let Some(scalar) = scalar(value) {
            self.scalar(scalar.as_ref());
            return Ok(());
        }
        // SAFETY: the value is alive: it is on the stack of this call.
        let (hash, array) = unsafe {
            (
                RB_TYPE_P(value, Type::RUBY_T_HASH),
                RB_TYPE_P(value, Type::RUBY_T_ARRAY),
            )
        };
        if (hash || array) && depth == 0 {
            self.text("…");
            return Ok(());
        }
        if hash {
            return self.hash(value, depth - 1);
        }
        if array {
            return self.array(value, depth - 1);
        }
        if let Some(nanoseconds) = time(self.ruby, value)? {
            self.scalar(Some(&Value::Time(nanoseconds)));
            return Ok(());
        }
        match described(self.ruby, value)? {
            Some(text) => self.text(&text),
            None => self.out.push_str("null"),
        }
        Ok(())
    }

    fn scalar(&mut self, value: Option<&Value<'_>>) {
        match value {
            None => self.out.push_str("null"),
            Some(Value::Bool(value)) => self.out.push_str(if *value { "true" } else { "false" }),
            Some(Value::Int(value)) => self.out.push_str(itoa::Buffer::new().format(*value)),
            Some(Value::Float(value)) if value.is_finite() => self.out.push_str(&value.to_string()),
            Some(Value::Float(value)) => self.text(&value.to_string()),
            Some(Value::Text(text)) => {
                let shown = self.redactor.text(text);
                self.text(&shown);
            }
            Some(time @ Value::Time(_)) => self.text(&time.clone().into_text()),
        }
    }

    /// As JSON writes it, RFC 8259, section 7.
    fn text(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            if self.full() {
                self.out.push('…');
                break;
            }
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\t' => self.out.push_str("\\t"),
                '\r' => self.out.push_str("\\r"),
                control if control < ' ' => self.out.push_str(&format!("\\u{:04x}", control as u32)),
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }

    fn array(&mut self, array: VALUE, depth: u32) -> Result<(), Jump> {
        self.out.push('[');
        let mut index = 0;
        // SAFETY: the length is asked each time: Ruby code that describes an element may change it.
        while index < unsafe { RARRAY_LEN(array) } {
            if index > 0 {
                self.out.push(',');
            }
            if self.full() {
                self.out.push('…');
                break;
            }
            // SAFETY: an index beyond the end would give nil.
            let element = unsafe { rb_sys::rb_ary_entry(array, index as _) };
            self.value(element, depth)?;
            index += 1;
        }
        self.out.push(']');
        Ok(())
    }

    fn hash(&mut self, hash: VALUE, depth: u32) -> Result<(), Jump> {
        self.out.push('{');
        let mut walk = Walk {
            rendering: self,
            depth,
            first: true,
            jump: None,
        };
        // SAFETY: the GVL is held; `entry` is called during this call alone, with `walk`, and never raises.
        unsafe {
            rb_sys::rb_hash_foreach(hash, Some(entry), (&raw mut walk) as VALUE);
        }
        if let Some(jump) = walk.jump {
            return Err(jump);
        }
        self.out.push('}');
        Ok(())
    }

    fn entry(&mut self, key: VALUE, value: VALUE, depth: u32) -> Result<(), Jump> {
        let name = match scalar(key) {
            Some(scalar) => scalar.map(Value::into_text).unwrap_or_default(),
            None => described(self.ruby, key)?.map_or(Cow::Borrowed("…"), Cow::Owned),
        };
        self.text(&name);
        self.out.push(':');
        let outer = self.path.len();
        if self.redactor.has_paths() {
            if outer > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
        }
        let rendered = if self.redactor.hides_at(&self.path, &name) {
            let mask = self.redactor.mask().to_owned();
            self.text(&mask);
            Ok(())
        } else {
            self.value(value, depth)
        };
        self.path.truncate(outer);
        rendered
    }
}

struct Walk<'a, 'b> {
    rendering: &'a mut Rendering<'b>,
    depth: u32,
    first: bool,
    jump: Option<Jump>,
}

unsafe extern "C" fn entry(key: VALUE, value: VALUE, walk: VALUE) -> c_int {
    // SAFETY: `Rendering::hash` passes its own `Walk`.
    let walk = unsafe { &mut *(walk as *mut Walk<'_, '_>) };
    if !walk.first {
        walk.rendering.out.push(',');
    }
    walk.first = false;
    if walk.rendering.full() {
        walk.rendering.out.push('…');
        return st_retval::ST_STOP as c_int;
    }
    match walk.rendering.entry(key, value, walk.depth) {
        Ok(()) => st_retval::ST_CONTINUE as c_int,
        Err(jump) => {
            walk.jump = Some(jump);
            st_retval::ST_STOP as c_int
        }
    }
}
