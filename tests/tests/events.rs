//! A transition of a task or step counts once, whichever processes tell of it, and however they end.

use tasker_telemetry_tests::{one_arena, tell, Number, Random, Reply, Series, Stage, Worker};

const NOW: i64 = 1_800_000_000_000;

fn labelled<'s>(series: &'s [Series], label: &str, value: &str) -> Vec<&'s Series> {
    series.iter().filter(|series| series.label(label) == value).collect()
}

/// Tells the same to all at once, and answers how many were first.
fn tell_all(workers: &mut [Worker], name: &str, payload: &[(&str, &str)], at: i64) -> u64 {
    let command = tell(name, payload, at, 3);
    workers.iter_mut().for_each(|worker| worker.send(&command));
    let first = |worker: &mut Worker| match worker.reply() {
        Reply::Count(first) => first,
        other => panic!("unexpected answer: {other:?}"),
    };
    workers.iter_mut().map(first).sum()
}

#[test]
fn eight_processes_that_tell_the_same_count_it_once() {
    let stage = Stage::new();
    let mut workers: Vec<Worker> = (0..4).map(|_| stage.worker()).collect();
    workers.iter_mut().for_each(|worker| {
        worker.open(&stage.arena());
        worker.tell("task.start_requested", &[("task_id", "0")], NOW, 1);
    });
    for parent in 0..4 {
        let child = stage.fork(&mut workers[parent]);
        workers.push(child);
    }
    one_arena(&mut workers);
    let mut failures = 0;
    for task in 1..40_i64 {
        let id = task.to_string();
        for attempt in 1..4_i64 {
            let (number, time) = (attempt.to_string(), (NOW / 1000 + task * 10 + attempt).to_string());
            let all = [
                ("task_id", id.as_str()),
                ("attempt", number.as_str()),
                ("transitioned_at", time.as_str()),
            ];
            // With attempt and time, with one of them, with none.
            let payload = match task % 4 {
                0 => &all[..],
                1 => &all[..2],
                2 => &[all[0], all[2]],
                _ => &all[..1],
            };
            for name in ["task.start_requested", "task.failed", "task.retry_requested"] {
                assert_eq!(tell_all(&mut workers, name, payload, NOW), 1, "{name} {payload:?}");
            }
            failures += 1;
        }
    }
    let total = |worker: &mut Worker, what: &str| worker.total(&format!("task_{what}_total"));
    assert_eq!(total(&mut workers[7], "failed"), failures);
    assert_eq!(total(&mut workers[0], "retried"), failures);
    assert_eq!(total(&mut workers[3], "started"), failures + 1);
}

#[test]
fn a_step_that_ends_in_another_process_shows_how_long_it_took() {
    let stage = Stage::new();
    let (mut web, mut job) = (stage.worker(), stage.worker());
    web.open(&stage.arena());
    job.open(&stage.arena());
    let step = [
        ("task_id", "1"),
        ("step_id", "7"),
        ("step_name", "weigh"),
        ("task_name", "pack"),
    ];
    assert_eq!(web.tell("step.execution_requested", &step, NOW, 3), 1);
    // Whoever began it is gone.
    web.kill();
    assert_eq!(job.tell("step.completed", &step, NOW + 2000, 3), 1);
    let series = job.series("step_duration_seconds");
    let completed = labelled(&series, "outcome", "completed");
    assert_eq!(completed.len(), 1, "{series:?}");
    assert!(
        matches!(completed[0].value, Number::Histogram(_, sum) if sum == 2.0),
        "{series:?}"
    );
    assert_eq!(completed[0].label("step_name"), "weigh");
}

#[test]
fn a_retry_elsewhere_lies_between_two_failures() {
    let stage = Stage::new();
    let mut workers = [stage.worker(), stage.worker()];
    for worker in &mut workers {
        worker.open(&stage.arena());
    }
    let step = [("task_id", "1"), ("step_id", "7")];
    for (name, worker, first) in [
        ("step.failed", 0, 1),
        ("step.failed", 1, 0),
        ("step.retry_requested", 1, 1),
        ("step.failed", 0, 1),
        ("step.failed", 1, 0),
    ] {
        assert_eq!(workers[worker].tell(name, &step, NOW, 2), first, "{name}");
    }
    assert_eq!(workers[0].total("step_failed_total"), 2);
    assert_eq!(workers[1].total("step_retried_total"), 1);
}

#[test]
fn a_killed_process_keeps_nothing_from_being_told() {
    let mut random = Random::seeded();
    let stage = Stage::new();
    let mut survivor = stage.worker();
    survivor.open(&stage.arena());
    for round in 0..20 {
        let mut doomed = stage.worker();
        doomed.open(&stage.arena());
        let id = round.to_string();
        doomed.send(&tell("task.failed", &[("task_id", &id)], NOW, 1 + random.below(200)));
        doomed.kill();
        // Both telling it would be a second failure; neither, a lost one.
        let first = survivor.tell("task.failed", &[("task_id", &id)], NOW, 3);
        assert!(first <= 1);
        assert_eq!(survivor.tell("task.failed", &[("task_id", &id)], NOW, 3), 0);
    }
    let failed = survivor.total("task_failed_total");
    // A process that was killed between noting a transition and counting it takes that one along.
    assert!(failed <= 20, "{failed}");
}
