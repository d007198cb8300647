//! What keeps requests back, written down and taken over.

use super::*;
use crate::record::OpenBreaker;

/// A breaker that asked at `scene.now`, and asks again after `seconds`.
fn open(scene: &Scene, seconds: u64, revision: i64) -> Restraint {
    Restraint {
        breaker: Some(OpenBreaker {
            until: scene.now.after(Duration::from_secs(seconds)),
            asked_at: scene.now,
            failing_since: Timestamp::from_millis(1_000_000),
            revision,
        }),
        none_before: None,
    }
}

#[test]
fn an_open_breaker_goes_to_the_next_owner_until_it_closes() {
    let mut scene = Scene::new();
    let first = open(&scene, 5, 5);
    scene.restrain(first, 5);
    assert_eq!(scene.written, 1);
    scene.take_over();
    assert_eq!(scene.restraint(5), first);
    // A newer record of the subscription begins with a closed one, and the record goes.
    assert_eq!(scene.restraint(6), Restraint::default());
    scene.later(Duration::from_secs(5));
    let second = open(&scene, 10, 5);
    scene.restrain(second, 5);
    scene.take_over();
    assert_eq!(scene.restraint(5), second);
    scene.later(Duration::from_secs(10));
    scene.restrain(Restraint::default(), 5);
    assert_eq!(scene.written, 3);
    assert!(scene.table.state(&scene.key()).is_none());
    scene.take_over();
    assert_eq!(scene.restraint(5), Restraint::default());
}

#[test]
fn a_restraint_goes_with_its_subscriptions_record_and_with_its_time() {
    let mut scene = Scene::new();
    let breaker = open(&scene, 5, 5);
    scene.restrain(breaker, 5);
    scene.subscribe(6);
    assert!(scene.merge().is_empty());
    assert!(scene.table.state(&scene.key()).is_none());

    scene.later(SPACING);
    let pause = Restraint {
        breaker: None,
        none_before: Some(scene.now.after(HOUR)),
    };
    scene.restrain(pause, 6);
    scene.take_over();
    assert_eq!(scene.restraint(6), pause);
    scene.later(HOUR / 2 + LAPSES);
    assert!(scene.merge().is_empty());
    assert_eq!(scene.restraint(6), pause);
    scene.later(HOUR / 2 + LAPSES);
    assert!(scene.merge().is_empty());
    assert!(scene.table.state(&scene.key()).is_none());
    scene.later(SPACING);
    // An hour is worth a record, a moment is not.
    let written = scene.written;
    let moment = Restraint {
        none_before: Some(scene.now.after(SPACING / 2)),
        ..pause
    };
    scene.restrain(moment, 6);
    assert_eq!(scene.written, written);
}

#[test]
fn a_breaker_that_flaps_is_written_once_a_second_at_most_and_as_it_is_in_the_end() {
    let mut scene = Scene::new();
    for step in 0..100 {
        let restraint = match step % 2 {
            0 => open(&scene, 5, 5),
            _ => Restraint::default(),
        };
        scene.restrain(restraint, 5);
        scene.later(SPACING / 10);
    }
    assert!((5..=11).contains(&scene.written), "{}", scene.written);
    let last = open(&scene, 5, 5);
    scene.restrain(last, 5);
    let records = scene.standing.save_all_restraints(scene.now);
    scene.commit(records);
    scene.take_over();
    assert_eq!(scene.restraint(5), last);
}

#[test]
fn what_fails_and_is_open_is_one_record() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.answer(Heard::TimedOut, 5);
        scene.later(HOUR / 2);
    }
    let breaker = open(&scene, 5, 5);
    scene.restrain(breaker, 5);
    let state = scene.table.state(&scene.key()).unwrap();
    assert!(state.failing.is_some() && state.breaker == breaker.breaker);
    scene.later(SPACING);
    scene.restrain(Restraint::default(), 5);
    let state = scene.table.state(&scene.key()).unwrap();
    assert!(state.failing.is_some() && state.breaker.is_none());
}

#[test]
fn whoever_does_not_own_the_partition_writes_no_restraint() {
    let mut scene = Scene::new();
    scene.standing.assigned(HashSet::new());
    let breaker = open(&scene, 5, 5);
    scene.restrain(breaker, 5);
    assert_eq!(scene.written, 0);
    assert_eq!(scene.restraint(5), Restraint::default());
}

#[test]
fn an_endpoint_that_asks_for_one_pause_after_the_other_is_written_once_for_each() {
    let mut scene = Scene::new();
    for _ in 0..100 {
        let pause = Restraint {
            breaker: None,
            none_before: Some(scene.now.after(2 * SPACING)),
        };
        scene.restrain(pause, 5);
        scene.later(2 * SPACING);
        scene.merge();
        scene.answer(Heard::Accepted, 5);
    }
    assert_eq!(scene.written, 100);
}
