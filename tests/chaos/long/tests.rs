//! What the arguments of the long one mean.

use clap::{CommandFactory, Parser};

use super::{Arguments, script};
use crate::plan::{self, Fault, Layout};
use crate::support::{Bed, Outcome, tests};

tests! {
    plain:
        arguments_are_sound,
        a_cluster_is_asked_for,
        every_third_run_goes_through_the_kill_points,
        what_kafka_suffers_beside_them_is_a_list_of_its_own;
    kafka:
}

fn arguments(given: &[&str]) -> anyhow::Result<Arguments> {
    let all = ["chaos", "--long"].into_iter();
    let all = all.chain(given.iter().copied());
    Ok(Arguments::try_parse_from(all)?)
}

async fn arguments_are_sound(_: Bed) -> Outcome {
    Arguments::command().debug_assert();
    Ok(())
}

async fn a_cluster_is_asked_for(_: Bed) -> Outcome {
    let alone = arguments(&[])?;
    let cluster = arguments(&["--cluster"])?;
    // What was found on either is not added up.
    assert_ne!(alone.state(), cluster.state());
    for (arguments, layout) in [(alone, Layout::Alone), (cluster, Layout::Cluster)] {
        let script = script(&arguments, 1_001);
        assert_eq!(script.layout, layout);
        let kinds = plan::kinds(layout);
        let planned = plan::mixed(1_001, 2 * kinds, arguments.members, layout);
        assert_eq!(script.faults, [planned]);
    }
    assert!(
        script(&arguments(&["--cluster"])?, 1)
            .kind
            .contains("cluster")
    );
    Ok(())
}

async fn every_third_run_goes_through_the_kill_points(_: Bed) -> Outcome {
    let is_of_points = |given: &[&str], seed| {
        let alone = [given, &["--beside", "0"]].concat();
        let script = script(&arguments(&alone)?, seed);
        let mut faults = script.faults.iter().flatten();
        anyhow::Ok(faults.all(|fault| matches!(fault, Fault::KillPoint { .. })))
    };
    for seed in 0..9 {
        assert_eq!(is_of_points(&[], seed)?, seed % 3 == 0);
        assert!(!is_of_points(&["--points-every", "0"], seed)?);
        assert!(is_of_points(&["--points-every", "1"], seed)?);
    }
    Ok(())
}

async fn what_kafka_suffers_beside_them_is_a_list_of_its_own(_: Bed) -> Outcome {
    let given = ["--points-every", "1", "--beside", "8", "--members", "2"];
    let script = script(&arguments(&given)?, 5);
    assert_eq!(script.faults.len(), 3);
    assert_eq!(script.faults[2], plan::of_kafka(5, 8, 2, Layout::Alone));
    Ok(())
}
