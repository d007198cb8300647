//! `hooktide bench`: what it says of a run, not how fast it was.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use crate::support::hooktide::Installation;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        every_figure_is_there_as_json,
        a_person_reads_a_table,
        retries_are_told_from_first_attempts,
        what_waits_for_a_limited_endpoint_is_counted,
        endpoints_are_reached_over_tls,
        idleness_and_a_catch_up_are_measured,
        the_router_alone_is_held_against_a_copy,
        the_others_of_a_slow_endpoint_are_measured,
        a_program_takes_the_place_of_hooktide,
        numbers_that_do_not_fit_are_refused,
}

/// The report of `hooktide bench` with these arguments, separated by spaces.
async fn report(bed: &Bed, arguments: &str) -> anyhow::Result<Value> {
    let arguments = format!("bench --output json {arguments}");
    let words: Vec<&str> = arguments.split(' ').collect();
    let ran = Installation::new(bed)?.command(&words).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.json()
}

fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or(-1.0)
}

async fn every_figure_is_there_as_json(bed: Bed) -> Outcome {
    let arguments = [
        "bench",
        "--events",
        "300",
        "--fan-out",
        "2",
        "--receivers",
        "3",
        "--rate",
        "200",
        "--processes",
        "2",
        "--delay",
        "5ms",
        "--beside",
        "reset",
        "--output",
        "json",
    ];
    let ran = Installation::new(&bed)?.command(&arguments).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report = ran.json()?;
    assert_eq!(report["plan"]["subscriptions"], 100);
    assert_eq!(report["doubled"], 0);
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(-1.0);
    // 300 events at 200 a second take at least the 299 steps between them; nothing can be faster.
    assert!(number("/loaded_in_s") >= 299.0 / 200.0, "{report:#}");
    assert!(
        number("/took_s") >= number("/loaded_in_s") - 0.1,
        "{report:#}"
    );
    assert!(
        number("/hooktide/per_second") <= 2.0 * 300.0 / 1.495,
        "{report:#}"
    );
    for positive in [
        "/hooktide/per_second",
        "/bare_loop/per_second",
        "/latency_ms/p50",
    ] {
        assert!(number(positive) > 0.0, "{positive}: {report:#}");
    }
    assert!(number("/beside/p99_ratio") > 0.0, "{report:#}");
    assert!(number("/beside/latency_ms/p50") > 0.0, "{report:#}");
    let latency = &report["latency_ms"];
    let ladder: Vec<f64> = ["p50", "p95", "p99", "max"]
        .iter()
        .filter_map(|name| latency[name].as_f64())
        .collect();
    assert_eq!(ladder.len(), 4, "{report:#}");
    assert!(ladder.is_sorted(), "{report:#}");
    let id = report["application_id"].as_str().context("no id")?;
    for topic in [format!("{id}.attempts"), format!("{id}-events")] {
        // A broker hears of it somewhat later than the controller has answered.
        let until = Instant::now() + Duration::from_secs(20);
        while bed.kafka()?.read_topic(&topic).await.is_ok() {
            assert!(Instant::now() < until, "{topic} is left");
        }
    }
    if cfg!(target_os = "linux") {
        for known in ["/hooktide/cpu_s_per_1000", "/bare_loop/cpu_s_per_1000"] {
            assert!(number(known) > 0.0, "{known}: {report:#}");
        }
        // Two processes, each with its own librdkafka: well above a megabyte.
        assert!(number("/hooktide/peak_memory_bytes") > 2e6, "{report:#}");
    }
    Ok(())
}

async fn a_person_reads_a_table(bed: Bed) -> Outcome {
    let ran = Installation::new(&bed)?
        .command(&["bench", "--events", "200", "--size", "1000"])
        .await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "200 events of 1000 bytes, flat out",
        "bare POST loop",
        "produced to arrived: p50",
        "all 200 deliveries arrived",
        "0 doubled",
    ] {
        assert!(
            ran.stdout.contains(words),
            "no {words:?} in\n{}",
            ran.stdout
        );
    }
    Ok(())
}

async fn retries_are_told_from_first_attempts(bed: Bed) -> Outcome {
    let arguments = [
        "bench",
        "--events",
        "300",
        "--due-at-once",
        "--output",
        "json",
    ];
    let ran = Installation::new(&bed)?.command(&arguments).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report = ran.json()?;
    assert_eq!(report["doubled"], 0);
    assert_eq!(report["retried"]["deliveries"], 300);
    assert_eq!(report["retried"]["early"], 0);
    // The new ones, which come beside them.
    assert!(
        report["latency_ms"]["p50"].as_f64() > Some(0.0),
        "{report:#}"
    );
    let late = report["retried"]["lateness_ms"]["p50"].as_f64();
    assert!(
        late > Some(0.0),
        "hooktide was away when they were due: {report:#}"
    );
    Ok(())
}

async fn what_waits_for_a_limited_endpoint_is_counted(bed: Bed) -> Outcome {
    let arguments = [
        "bench",
        "--events",
        "400",
        "--rate",
        "200",
        "--beside",
        "limited",
        "--backlog",
        "2000",
        "--output",
        "json",
    ];
    let ran = Installation::new(&bed)?.command(&arguments).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report = ran.json()?;
    let backlog = &report["beside"]["backlog"];
    assert_eq!(backlog["tasks"], 2_000);
    assert!(backlog["delivered"].as_u64() > Some(0), "{report:#}");
    assert!(backlog["bytes"].as_u64() > Some(0), "{report:#}");
    Ok(())
}

async fn endpoints_are_reached_over_tls(bed: Bed) -> Outcome {
    let report = report(&bed, "--events 200 --tls --receivers 2").await?;
    assert_eq!(report["doubled"], 0);
    assert!(number(&report, "/bare_loop/per_second") > 0.0, "{report:#}");
    assert!(number(&report, "/latency_ms/p50") > 0.0, "{report:#}");
    Ok(())
}

async fn idleness_and_a_catch_up_are_measured(bed: Bed) -> Outcome {
    let idle = report(&bed, "--events 50 --idle 1s").await?;
    assert!(number(&idle, "/idle/watched_s") >= 1.0, "{idle:#}");
    assert!(number(&idle, "/start/ready_in_s") > 0.0, "{idle:#}");
    let caught_up = report(&bed, "--events 500 --catch-up").await?;
    assert_eq!(caught_up["doubled"], 0);
    let from_the_start = number(&caught_up, "/took_s") - number(&caught_up, "/start/ready_in_s");
    // Readiness is seen a glance or two after it came.
    assert!(from_the_start > -1.0, "{caught_up:#}");
    let oldest = number(&caught_up, "/latency_ms/max") / 1_000.0;
    assert!(oldest > 0.0, "{caught_up:#}");
    if cfg!(target_os = "linux") {
        assert!(number(&idle, "/idle/cpu_of_a_core") >= 0.0, "{idle:#}");
        assert!(number(&idle, "/idle/memory_bytes") > 1e6, "{idle:#}");
        assert!(number(&idle, "/start/memory_bytes") > 1e6, "{idle:#}");
    }
    Ok(())
}

async fn the_router_alone_is_held_against_a_copy(bed: Bed) -> Outcome {
    let report = report(
        &bed,
        "--router-alone --events 2000 --fan-out 3 --subscriptions 30",
    )
    .await?;
    assert!(number(&report, "/hooktide/per_second") > 0.0, "{report:#}");
    assert!(number(&report, "/copy/per_second") > 0.0, "{report:#}");
    assert!(
        report["latency_ms"].is_null(),
        "nothing was sent: {report:#}"
    );
    Ok(())
}

async fn the_others_of_a_slow_endpoint_are_measured(bed: Bed) -> Outcome {
    let arguments = "--events 300 --rate 100 --subscriptions 10 --receivers 10 --slow 2s";
    let report = report(&bed, arguments).await?;
    assert_eq!(report["others"]["deliveries"], 270);
    assert_eq!(report["others"]["arrived"], 270);
    let by_second = report["others"]["by_second"].as_array();
    let by_second = by_second.into_iter().flatten().filter_map(Value::as_u64);
    assert_eq!(by_second.sum::<u64>(), 270, "{report:#}");
    let gap = number(&report, "/others/longest_gap_s");
    assert!(gap > 0.0 && gap < number(&report, "/took_s"), "{report:#}");
    Ok(())
}

async fn a_program_takes_the_place_of_hooktide(bed: Bed) -> Outcome {
    // It is not in the group that it was told, so nothing of it is measured; but it has run.
    let seen = bed.folder().join("seen");
    let program = format!("env >{}", seen.display());
    let arguments = ["bench", "--events", "10", "--instead", &program];
    let ran = Installation::new(&bed)?.command(&arguments).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("the program ended by itself"),
        "{ran:?}"
    );
    let seen = std::fs::read_to_string(seen)?;
    for name in [
        "BOOTSTRAP_SERVERS=",
        "TOPIC=",
        "GROUP=",
        "URL=http://127.0.0.1:",
    ] {
        assert!(
            seen.lines().any(|line| line.starts_with(name)),
            "{name}: {seen}"
        );
    }
    Ok(())
}

async fn numbers_that_do_not_fit_are_refused(bed: Bed) -> Outcome {
    for (arguments, words) in [
        (["--events", "0"], "must be at least 1"),
        (["--size", "20"], "--size must be from"),
        (["--receivers", "100000"], "at most 1000 --receivers"),
        (["--beside", "slow"], "--rate"),
        (["--beside", "nasty"], "possible values: good, slow"),
        (["--rate", "fast"], "--rate"),
        (["--failing", "2"], "--failing must be from 0 to 1"),
        (["--backlog", "5"], "--beside"),
        (["--slow", "5s"], "--rate"),
    ] {
        let arguments = ["bench"].into_iter().chain(arguments).collect::<Vec<_>>();
        let ran = Installation::new(&bed)?.command(&arguments).await?;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    Ok(())
}
