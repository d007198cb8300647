//! Plans: what a seed decides, and that nothing is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    BROKERS, Fault, Layout, SESSION, TRANSACTION, Victim, at_each_point, kill_points, kinds, mixed,
    of_kafka,
};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain:
        the_seed_decides_everything,
        each_kind_comes_once_before_any_comes_again,
        a_cluster_loses_each_part_of_it,
        the_network_stalls_on_either_side_of_the_session,
        each_kill_point_comes_as_often_as_asked_for;
    kafka:
}

const MEMBERS: usize = 3;
const BOTH: [Layout; 2] = [Layout::Alone, Layout::Cluster];
const SEEDS: std::ops::Range<u64> = 0..50;

/// Names of faults; those of kill points, which are many, are one.
fn names(faults: &[Fault]) -> Vec<String> {
    let names = faults.iter().map(|fault| match fault {
        Fault::KillPoint { .. } => "kill point".to_owned(),
        other => other.name(),
    });
    names.collect()
}

async fn the_seed_decides_everything(_: Bed) -> Outcome {
    for layout in BOTH {
        let plan = |seed| {
            (
                mixed(seed, 60, MEMBERS, layout),
                of_kafka(seed, 20, MEMBERS, layout),
            )
        };
        for seed in SEEDS {
            assert_eq!(plan(seed), plan(seed));
            assert_ne!(plan(seed), plan(seed + 1));
        }
        // A longer plan begins as a shorter one does.
        assert_eq!(
            plan(7).0[..kinds(layout)],
            mixed(7, kinds(layout), MEMBERS, layout)
        );
    }
    for seed in SEEDS {
        let points = |seed| at_each_point(seed, 2, MEMBERS);
        assert_eq!(points(seed), points(seed));
        assert_ne!(points(seed), points(seed + 1));
    }
    Ok(())
}

async fn each_kind_comes_once_before_any_comes_again(_: Bed) -> Outcome {
    for layout in BOTH {
        let kinds = kinds(layout);
        for seed in SEEDS {
            let plan = mixed(seed, 2 * kinds, MEMBERS, layout);
            let [first, second] = [&plan[..kinds], &plan[kinds..]].map(names);
            let [one, other] = [&first, &second].map(|round| round.iter().collect::<BTreeSet<_>>());
            assert_eq!(one.len(), kinds, "{first:?}");
            assert_eq!(one, other);
        }
    }
    Ok(())
}

async fn a_cluster_loses_each_part_of_it(_: Bed) -> Outcome {
    let victims = |layout| {
        let plans = SEEDS.flat_map(move |seed| mixed(seed, kinds(layout), MEMBERS, layout));
        let victims = plans.filter_map(|fault| match fault {
            Fault::KillBroker { victim, .. } => Some(victim),
            _ => None,
        });
        victims.collect::<Vec<_>>()
    };
    let alone = victims(Layout::Alone);
    assert!(alone.iter().all(|victim| *victim == Victim::Broker(0)));
    let cluster = victims(Layout::Cluster);
    for place in 0..BROKERS {
        assert!(cluster.contains(&Victim::Broker(place)));
    }
    let of_seed = 4;
    assert_eq!(cluster.len(), of_seed * SEEDS.count());
    let controllers = cluster.iter().filter(|one| **one == Victim::Controller);
    assert_eq!(controllers.count(), SEEDS.count());
    Ok(())
}

async fn the_network_stalls_on_either_side_of_the_session(_: Bed) -> Outcome {
    for layout in BOTH {
        for seed in SEEDS {
            let plan = mixed(seed, kinds(layout), MEMBERS, layout);
            let times: Vec<_> = plan
                .iter()
                .filter_map(|fault| match fault {
                    Fault::Network {
                        broker: None, time, ..
                    } => Some(*time),
                    _ => None,
                })
                .collect();
            let past = times.iter().filter(|time| **time > SESSION).count();
            assert_eq!((times.len(), past), (4, 1), "{times:?}");
            let long = times.iter().filter(|time| **time > TRANSACTION).count();
            assert!(long >= 3, "{times:?}");
            let resets = plan
                .iter()
                .filter(|fault| matches!(fault, Fault::Resets { .. }));
            assert_eq!(resets.count(), 1);
        }
    }
    Ok(())
}

async fn each_kill_point_comes_as_often_as_asked_for(_: Bed) -> Outcome {
    const TIMES: usize = 3;
    let dealt = at_each_point(5, TIMES, MEMBERS);
    assert_eq!(dealt.len(), MEMBERS);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (member, faults) in dealt.iter().enumerate() {
        for fault in faults {
            let is_its = matches!(fault, Fault::KillPoint { member: hit, .. } if *hit == member);
            assert!(is_its, "{fault:?}");
            *counts.entry(fault.name()).or_default() += 1;
        }
    }
    assert_eq!(counts.len(), kill_points().len());
    assert!(counts.values().all(|count| *count == TIMES), "{counts:?}");
    Ok(())
}
