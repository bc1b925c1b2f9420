//! What the holder of an office shows of its arena.

use crate::common::{declare, page, registry, snapshot};
use std::time::Duration;
use tasker_telemetry_core::arena::Place;
use tasker_telemetry_core::lease::{Election, Office};
use tasker_telemetry_core::metric::Kind;

#[test]
fn a_background_thread_campaigns_and_scrapes_while_others_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("arena");
    let registry = registry(|settings| settings.place = Place::Path(path.clone()));
    assert!(Election::in_background(&registry, Office::Push).is_none());
    let counter = declare(&registry, "orders_total", Kind::Counter, &[]);
    counter.increment_int(&[], 3);
    std::thread::scope(|scope| {
        let background = scope.spawn(|| {
            let election = Election::in_background(&registry, Office::Push).unwrap();
            let term = election.campaign(Duration::from_secs(60)).unwrap();
            let page = page(&election.scrape().unwrap());
            (election, term, page)
        });
        let (election, term, page) = background.join().unwrap();
        assert!(page.contains("\norders_total 3\n"), "{page}");
        assert!(term.still_held());

        std::fs::remove_file(&path).unwrap();
        assert!(!term.still_held());
        assert!(election.is_over() && election.scrape().is_none());
        drop(snapshot(&registry));
        let fresh = Election::in_background(&registry, Office::Push).unwrap();
        assert!(fresh.campaign(Duration::from_secs(60)).is_some());
    });
}
