//! Ids that follow from what they identify, so that every process that touches a task adds to one trace.
//!
//! An id is the head of a SHA-256 over a domain (`tasker_telemetry/1/trace`, …) and the fields, each preceded by its
//! length as eight bytes, big endian: no two lists of fields give the same bytes. The ids are part of what others may
//! compute, so the rule never changes without another number in the domain.

use opentelemetry::trace::{SpanId, TraceId};
use sha2::{Digest, Sha256};

/// What ids are derived within: two applications, or two environments of one, never share a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`.
    pub environment: String,
}

/// The ids of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    /// Its trace.
    pub trace_id: TraceId,
    /// The root of that.
    pub span_id: SpanId,
}

fn hash(domain: &str, fields: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for field in std::iter::once(&domain).chain(fields) {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().into()
}

impl Identity {
    fn trace(&self, task_id: &str) -> TraceId {
        let hash = hash("tasker_telemetry/1/trace", &[&self.service, &self.environment, task_id]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        // Zero would be invalid; that it comes out of SHA-256 is not to be expected.
        TraceId::from(u128::from_be_bytes(bytes).max(1))
    }

    fn span(&self, domain: &str, task_id: &str, more: &[&str]) -> SpanId {
        let mut fields = vec![self.service.as_str(), self.environment.as_str(), task_id];
        fields.extend_from_slice(more);
        let hash = hash(domain, &fields);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[..8]);
        SpanId::from(u64::from_be_bytes(bytes).max(1))
    }
}

/// The root of a task's trace. All else of the task is in the same one.
#[must_use]
pub fn task(identity: &Identity, task_id: &str) -> Derived {
    Derived {
        trace_id: identity.trace(task_id),
        span_id: identity.span("tasker_telemetry/1/task", task_id, &[]),
    }
}

/// A step's attempt. `attempt` is empty where it is not known.
#[must_use]
pub fn step(identity: &Identity, task_id: &str, step_id: &str, attempt: &str) -> SpanId {
    identity.span("tasker_telemetry/1/step", task_id, &[step_id, attempt])
}

/// A further end of a task: a root of its own, which is to be linked to [`task`]. `which` tells it from other ends:
/// the transition and its attempt or time.
#[must_use]
pub fn further_end(identity: &Identity, task_id: &str, which: &[&str]) -> SpanId {
    identity.span("tasker_telemetry/1/end", task_id, which)
}

/// A span for a point in a task's or step's life. `which` names the event and what tells it from others of its name.
#[must_use]
pub fn point(identity: &Identity, task_id: &str, which: &[&str]) -> SpanId {
    identity.span("tasker_telemetry/1/point", task_id, which)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Identity {
        Identity {
            service: "shop".into(),
            environment: "production".into(),
        }
    }

    #[test]
    fn the_rule_is_the_documented_one() {
        let derived = task(&shop(), "12345");
        // Computed by another implementation: sha256 of each field after its length as eight bytes, big endian.
        assert_eq!(derived.trace_id.to_string(), "df97ba819c51634345f563ef0126c5c2");
        assert_eq!(derived.span_id.to_string(), "0094b26712c537c7");
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let joined = Identity {
            service: "shopproduction".into(),
            environment: String::new(),
        };
        assert_ne!(task(&shop(), "1").trace_id, task(&joined, "1").trace_id);
        assert_ne!(step(&shop(), "1", "23", "1"), step(&shop(), "1", "2", "31"));
        assert_ne!(
            further_end(&shop(), "1", &["a", "b"]),
            further_end(&shop(), "1", &["ab"])
        );
    }

    #[test]
    fn all_spans_of_a_task_differ() {
        let identity = shop();
        let all = [
            task(&identity, "7").span_id,
            step(&identity, "7", "1", ""),
            step(&identity, "7", "1", "1"),
            step(&identity, "7", "1", "2"),
            further_end(&identity, "7", &["failed", "1"]),
            point(&identity, "7", &["failed", "1"]),
        ];
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
    }
}
