//! Events produced line by line.

use anyhow::Context;
use serde_json::json;

use super::{GOOD, check, installation};
use crate::support::topic_reader::Record;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain: ;
    kafka:
        a_bad_line_of_a_file_sends_nothing,
        a_bad_line_of_stdin_ends_after_those_before_it,
        events_are_acknowledged_as_they_were_written,
        what_the_broker_refuses_is_named_by_its_line,
}

async fn a_bad_line_of_a_file_sends_nothing(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let topic = installation.events_topic();
    let file = bed.folder().join("events");
    let name = file.to_str().context("a name")?;
    let deep = format!(
        r#"{{"type":"a","data":{}1{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for (bad, reason) in [
        (r#"{"data":1}"#, "`type` is missing"),
        (r#"{"type":"a","data":1,"tenant":"a/b"}"#, "`tenant` is not"),
        (
            r#"{"type":"a","data":1,"time":"today"}"#,
            "`time` is not an RFC 3339 time",
        ),
        (r#"[{"type":"a","data":1}]"#, "not a JSON object"),
        (&deep, "nests deeper"),
        ("nonsense", "not JSON"),
    ] {
        std::fs::write(&file, format!("{GOOD}\n\n{bad}\n{GOOD}\n"))?;
        let ran = installation
            .command(&["events", "produce", "--topic", &topic, name])
            .await?;
        check(&ran, 1, &["nothing is sent: line 3: ", reason]);
        assert_eq!(ran.stdout, "");
    }
    let produce = ["events", "produce", "--topic", &topic, "no-file"];
    check(
        &installation.command(&produce).await?,
        1,
        &["cannot read no-file"],
    );
    assert!(installation.kafka().read_topic(&topic).await?.is_empty());
    Ok(())
}

async fn a_bad_line_of_stdin_ends_after_those_before_it(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let topic = installation.events_topic();
    let input = format!("{GOOD}\n{GOOD}\n{{\"type\":\"a\"}}\n{GOOD}\n");
    let produce = [
        "events", "produce", "--topic", &topic, "-", "--output", "json",
    ];
    let ran = installation.command_fed(&produce, &input).await?;
    check(&ran, 1, &["line 3: `data` is missing"]);
    assert_eq!(ran.json()?, json!({"topic": topic, "acknowledged": 2}));
    assert_eq!(installation.kafka().read_topic(&topic).await?.len(), 2);
    Ok(())
}

async fn events_are_acknowledged_as_they_were_written(bed: Bed) -> Outcome {
    const EVENTS: usize = 12_000;
    let installation = installation(&bed).await?;
    let topic = installation.events_topic();
    let lines: Vec<_> = (0..EVENTS)
        .map(|number| format!(r#"{{"id":"e{number}", "type":"a","data": {number}.10}}"#))
        .collect();
    let file = bed.folder().join("events");
    std::fs::write(&file, lines.join("\r\n"))?;
    let name = file.to_str().context("a name")?;
    let produce = ["events", "produce", "--topic", &topic, name, "--key", "k"];
    let ran = installation.command(&produce).await?;
    check(&ran, 0, &[]);
    assert_eq!(ran.stdout, format!("events acknowledged: {EVENTS}\n"));
    assert_eq!(ran.stderr, "");
    let records = installation.kafka().read_topic(&topic).await?;
    let read: Vec<_> = records
        .iter()
        .map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(read, lines);
    let is_ours = |record: &Record| {
        (record.partition, record.key.as_deref()) == (records[0].partition, Some("k"))
    };
    assert!(records.iter().all(is_ours));
    Ok(())
}

async fn what_the_broker_refuses_is_named_by_its_line(bed: Bed) -> Outcome {
    let installation = installation(&bed).await?;
    let topic = format!("{}-small", installation.id());
    let limit = [("max.message.bytes", "2000")];
    installation.kafka().create_topic(&topic, 1, &limit).await?;
    // Random, or compression would make it fit.
    let noise: String = (0..3_000)
        .map(|_| char::from(rand::random_range(b'a'..=b'z')))
        .collect();
    let input = format!("{GOOD}\n{{\"type\":\"a\",\"data\":\"{noise}\"}}\n");
    let ran = installation
        .command_fed(&["events", "produce", "--topic", &topic], &input)
        .await?;
    check(
        &ran,
        1,
        &[
            "line ",
            "does not take it",
            "too large",
            "`events.topics` does not name",
        ],
    );
    Ok(())
}
