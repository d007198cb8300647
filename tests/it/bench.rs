//! `hooktide bench`: what it says of a run, not how fast it was.

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
        numbers_that_do_not_fit_are_refused,
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
        assert!(
            bed.kafka()?.read_topic(&topic).await.is_err(),
            "{topic} is left"
        );
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
    ] {
        let arguments = ["bench"].into_iter().chain(arguments).collect::<Vec<_>>();
        let ran = Installation::new(&bed)?.command(&arguments).await?;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    Ok(())
}
