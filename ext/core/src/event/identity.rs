//! Which task, step or export an event is about, and what tells its transitions apart.

use super::entry::Entry;
use super::key::Key;
use super::payload::{Payload, Value};
use super::told::Family;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What an event of the catalogue says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity<'e> {
    pub task_id: Option<Cow<'e, str>>,
    pub step_id: Option<Cow<'e, str>>,
    pub attempt: Option<Cow<'e, str>>,
    /// Hash of what it is about; `None` where nothing tells.
    pub entity: Option<u64>,
    /// Hash of the task, for what is known of tasks.
    pub task: Option<u64>,
    pub marks: Marks,
}

/// What tells two transitions of one name apart, as hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The attempt.
    pub attempt: Option<u64>,
    /// The transition's own time, to the millisecond: one publisher keeps more of it than the other, and JSON mostly no
    /// more than that.
    pub time: Option<u64>,
}

/// Hash of texts in order: `chain(chain(seed, a), b)`.
pub(super) fn chain(seed: u64, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), seed)
}

impl<'e> Identity<'e> {
    pub fn of(entry: &Entry, payload: &'e dyn Payload) -> Self {
        let task_id = id(payload, Key::TASK_ID);
        let step_id = id(payload, Key::STEP_ID);
        let attempt = attempt(payload);
        let task = task_id.as_deref().map(|id| chain(seed(Family::Task), id));
        let of_task = task_id.as_deref().map(|id| chain(seed(entry.family), id));
        let of_step = || match (&step_id, of_task) {
            (Some(step), _) => Some(chain(seed(entry.family), step)),
            // A step's name is unique within its task.
            (None, Some(task)) => id(payload, Key::STEP_NAME).map(|name| chain(task, &name)),
            (None, None) => None,
        };
        let entity = match entry.family {
            Family::Task | Family::TaskObservation => of_task,
            Family::Step | Family::StepObservation => of_step(),
            // What the engine tells of one step is no transition of the whole task.
            Family::Workflow if entry.of_step => match (of_task, &step_id) {
                (Some(task), Some(step)) => Some(chain(task, step)),
                (task, _) => task,
            },
            Family::Workflow => of_task,
            Family::Telemetry => [Key::CORRELATION_ID, Key::EXPORT_ID]
                .into_iter()
                .find_map(|key| id(payload, key))
                .map(|id| chain(seed(entry.family), &id)),
            Family::Other => None,
        };
        let job = || (entry.by_job).then(|| id(payload, Key::JOB_ID)).flatten();
        let marks = Marks {
            attempt: job().as_ref().or(attempt.as_ref()).map(|attempt| chain(1, attempt)),
            time: transitioned_at(payload).map(|millis| xxh3_64_with_seed(&millis.to_le_bytes(), 2)),
        };
        Self {
            task_id,
            step_id,
            attempt,
            entity,
            task,
            marks,
        }
    }
}

/// A number that no other family has.
fn seed(family: Family) -> u64 {
    0x6576_656e_7400 + family as u64
}

/// Which attempt a payload tells of.
pub(crate) fn attempt(payload: &dyn Payload) -> Option<Cow<'_, str>> {
    [Key::ATTEMPT_NUMBER, Key::ATTEMPT]
        .into_iter()
        .find_map(|key| id(payload, key))
}

/// A transition's own time, in milliseconds since the epoch.
fn transitioned_at(payload: &dyn Payload) -> Option<i64> {
    Some(payload.get(Key::TRANSITIONED_AT)?.instant()?.div_euclid(1_000_000))
}

/// What tells an event from others of its name about the same task or step, in words: of two duplicates that have a mark
/// it is the same. Empty where there is no mark.
pub(super) fn marks_of<'e>(entry: &Entry, payload: &'e dyn Payload) -> Vec<Cow<'e, str>> {
    let job = entry.by_job.then(|| id(payload, Key::JOB_ID)).flatten();
    let mut marks: Vec<Cow<'e, str>> = match job.or_else(|| attempt(payload)) {
        Some(attempt) => vec!["attempt".into(), attempt],
        None => match transitioned_at(payload) {
            Some(millis) => vec!["time".into(), millis.to_string().into()],
            None => return Vec::new(),
        },
    };
    if !entry.moves {
        let state = |key| payload.get(key).map(Value::into_text).unwrap_or_default();
        marks.extend([state(Key::FROM_STATE), state(Key::TO_STATE)]);
    }
    marks
}

/// An id as text: 7, 7.0 and "7" are one.
pub(crate) fn id(payload: &dyn Payload, key: Key) -> Option<Cow<'_, str>> {
    let text = match payload.get(key)? {
        Value::Float(float) if float.fract() == 0.0 && float.abs() < 1e15 => Value::Int(float as i64).into_text(),
        value => value.into_text(),
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::catalogue::built_in;
    use crate::event::instant;
    use crate::event::testing::{float, text, Map};

    fn entity(name: &str, payload: &Map) -> Option<u64> {
        Identity::of(built_in(name).unwrap(), payload).entity
    }

    #[test]
    fn a_step_is_known_by_its_id_else_by_its_name_in_a_task() {
        let poor = Map::of([("step_id", Value::Int(7))]);
        let rich = Map::of([
            ("step_id", text("7")),
            ("task_id", Value::Int(1)),
            ("step_name", text("pay")),
        ]);
        assert_eq!(entity("step.failed", &poor), entity("step.completed", &rich));
        let named = |task: i64, step: &str| Map::of([("task_id", Value::Int(task)), ("step_name", text(step))]);
        assert_eq!(
            entity("step.failed", &named(1, "pay")),
            entity("step.failed", &named(1, "pay"))
        );
        assert_ne!(
            entity("step.failed", &named(1, "pay")),
            entity("step.failed", &named(1, "ship"))
        );
        assert_ne!(
            entity("step.failed", &named(1, "pay")),
            entity("step.failed", &named(2, "pay"))
        );
        assert_eq!(entity("step.failed", &Map::of([("task_id", Value::Int(1))])), None);
    }

    #[test]
    fn families_with_one_id_are_kept_apart() {
        let payload = Map::of([("task_id", Value::Int(7)), ("step_id", Value::Int(7))]);
        let names = [
            "task.failed",
            "step.failed",
            "workflow.task_failed",
            "observability.task.enqueue",
        ];
        let mut entities = names.map(|name| entity(name, &payload)).to_vec();
        entities.push(entity("observability.step.skip", &payload));
        entities.push(entity("workflow.step_failed", &payload));
        entities.sort_unstable();
        entities.dedup();
        assert_eq!(entities.len(), 6);
    }

    #[test]
    fn attempts_and_times_are_one_however_they_are_written() {
        let marks = |payload: Map| Identity::of(built_in("step.failed").unwrap(), &payload).marks;
        let attempts = [Value::Int(2), float(2.0), text("2")].map(|value| marks(Map::of([("attempt", value)])).attempt);
        assert!(attempts[0].is_some() && attempts.iter().all(|attempt| *attempt == attempts[0]));
        let times = [
            Value::Int(5),
            float(5.0),
            text("1970-01-01T00:00:05Z"),
            Value::Time(5_000_000_000),
        ]
        .map(|value| marks(Map::of([("transitioned_at", value)])).time);
        assert!(times[0].is_some() && times.iter().all(|time| *time == times[0]));
        assert_eq!(marks(Map::of([("transitioned_at", text("never"))])).time, None);
    }

    #[test]
    fn duplicates_with_a_mark_have_the_same_words() {
        let words = |name, payload: &Map| -> Vec<String> {
            let marks = marks_of(built_in(name).unwrap(), payload);
            marks.into_iter().map(Cow::into_owned).collect()
        };
        let bare = Map::of([("task_id", Value::Int(1)), ("step_id", Value::Int(2))]);
        let numbered = bare.clone().with("attempt", Value::Int(2));
        let timed = bare.clone().with("transitioned_at", Value::Int(5));
        assert!(words("step.handle", &bare).is_empty());
        let both = numbered.clone().with("transitioned_at", Value::Int(5));
        assert_eq!(words("step.retry_requested", &numbered), ["attempt", "2"]);
        assert_eq!(words("step.retry_requested", &both), ["attempt", "2"]);
        assert_eq!(words("step.retry_requested", &timed), ["time", "5000"]);
        let moving = timed.clone().with("to_state", text("done"));
        assert_eq!(words("step.before_transition", &moving), ["time", "5000", "", "done"]);
        let job = numbered.clone().with("job_id", text("j"));
        assert_eq!(words("observability.task.enqueue", &job), ["attempt", "j"]);
        assert_eq!(words("step.handle", &job), ["attempt", "2", "", ""]);
    }

    #[test]
    fn a_time_is_one_in_all_spellings_that_keep_its_milliseconds() {
        let time = |value| {
            let payload = Map::of([("transitioned_at", value)]);
            Identity::of(built_in("task.completed").unwrap(), &payload).marks.time
        };
        // A microsecond is what databases keep, and 1009 is no divisor of anything here.
        for micros in (0..1_000).map(|n| 1_753_000_000_000_000 + n * 1_009) {
            let nanos = micros * 1_000;
            let exact = instant::print(nanos);
            let spellings = [
                text(&exact),
                text(&format!("{}Z", &exact[..26])),
                text(&format!("{}Z", &exact[..23])),
                float(micros as f64 / 1e6),
                // Ruby's Time#to_f.
                float(nanos as f64 / 1e9),
                text(&format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)),
            ];
            let mark = time(Value::Time(nanos));
            assert!(mark.is_some());
            for spelling in spellings {
                assert_eq!(time(spelling.clone()), mark, "{spelling:?} for {exact}");
            }
            assert_ne!(time(Value::Time(nanos + 1_000_000)), mark);
        }
        // Cut downwards, before the epoch as well.
        assert_eq!(time(Value::Time(-1)), time(text("1969-12-31T23:59:59.999Z")));
        assert_ne!(time(Value::Time(-1)), time(Value::Time(0)));
    }

    #[test]
    fn a_job_is_an_attempt_to_enqueue() {
        let both = Map::of([
            ("task_id", Value::Int(7)),
            ("job_id", text("j")),
            ("attempt", Value::Int(1)),
        ]);
        let job = Map::of([("task_id", Value::Int(7)), ("job_id", text("j"))]);
        let marks = |name, payload| Identity::of(built_in(name).unwrap(), payload).marks;
        assert_eq!(
            marks("observability.task.enqueue", &both),
            marks("observability.task.enqueue", &job)
        );
        assert_eq!(marks("task.failed", &job), Marks::default());
    }
}
