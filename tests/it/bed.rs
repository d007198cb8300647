//! Whether the test bed can be trusted.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::support::foreign_producers::ForeignProducer;
use crate::support::free_port::free_port;
use crate::support::kafka::NewRecord;
use crate::support::process::Process;
use crate::support::receiver::{Answer, Keep, Receiver};
use crate::support::{Bed, Outcome, tests, unique_name, watchdog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

tests! {
    plain:
        a_receiver_keeps_raw_bytes_and_answers_in_turn,
        a_receiver_plays_what_no_server_should,
        a_receiver_takes_load,
        the_end_of_a_process_is_seen,
        everything_ends_when_the_run_is_killed;
    kafka:
        records_come_back_as_they_were_produced,
        aborted_records_are_not_read,
        java_and_kcat_produce,
}

/// Within which everything on one machine answers.
const SOON: Duration = Duration::from_secs(10);

async fn a_receiver_keeps_raw_bytes_and_answers_in_turn(_: Bed) -> Outcome {
    let receiver = Receiver::start().await?;
    receiver.script(
        "/hook",
        [
            Answer::status(503).header("Retry-After", "7").body("later"),
            Answer::status(200).after(Duration::from_millis(50)),
        ],
    );
    let request =
        b"POST /hook?a=1 HTTP/1.1\r\nWebhook-Id: msg_1\r\ncontent-length: 4\r\n\r\n\x00\xff{}";
    let mut stream = TcpStream::connect(receiver.address()).await?;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        stream.write_all(request).await?;
        let mut answer = vec![0; 1_024];
        let length = stream.read(&mut answer).await?;
        answers.push((
            String::from_utf8(answer[..length].to_vec())?,
            start.elapsed(),
        ));
    }
    assert_eq!(
        answers[0].0,
        "HTTP/1.1 503 Scripted\r\nRetry-After: 7\r\ncontent-length: 5\r\n\r\nlater"
    );
    for (answer, took) in &answers[1..] {
        assert_eq!(answer, "HTTP/1.1 200 Scripted\r\ncontent-length: 0\r\n\r\n");
        assert!(*took >= Duration::from_millis(50), "{took:?}");
    }
    let received = receiver
        .wait_for(SOON, |requests| {
            requests
                .iter()
                .filter(|request| request.answered.is_some())
                .count()
                == 3
        })
        .await?;
    for request in &received {
        assert_eq!(request.method, "POST");
        assert_eq!(request.path, "/hook?a=1");
        assert_eq!(request.id(), "msg_1");
        assert_eq!(request.body, &b"\x00\xff{}"[..]);
        assert_eq!(request.connection, 0);
    }
    let missed = receiver.wait_for(Duration::from_millis(20), |all| all.len() > 3);
    assert!(missed.await.is_err(), "a fourth request out of nowhere");
    Ok(())
}

async fn a_receiver_plays_what_no_server_should(_: Bed) -> Outcome {
    let receiver = Receiver::start().await?;
    receiver.script("/reset", [Answer::reset()]);
    receiver.script("/raw", [Answer::raw("not HTTP at all")]);
    receiver.script("/hang", [Answer::hang()]);
    receiver.script("/flood", [Answer::flood("HTTP/1.1 200 OK\r\n", "a: b\r\n")]);

    async fn post(receiver: &Receiver, path: &str) -> anyhow::Result<TcpStream> {
        let mut stream = TcpStream::connect(receiver.address()).await?;
        let request = format!("POST {path} HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }
    let mut bytes = Vec::new();
    let reset = post(&receiver, "/reset")
        .await?
        .read_to_end(&mut bytes)
        .await;
    assert_eq!(
        reset.expect_err("a reset").kind(),
        std::io::ErrorKind::ConnectionReset
    );
    post(&receiver, "/raw")
        .await?
        .read_to_end(&mut bytes)
        .await?;
    assert_eq!(bytes, b"not HTTP at all");

    let mut hanging = post(&receiver, "/hang").await?;
    let mut byte = [0];
    let silence = tokio::time::timeout(Duration::from_millis(50), hanging.read(&mut byte));
    assert!(
        silence.await.is_err(),
        "an answer where there should be none"
    );

    let mut flood = post(&receiver, "/flood").await?;
    let mut many = vec![0; 1 << 20];
    flood.read_exact(&mut many).await?;

    let requests = receiver.received();
    let answered = |path| {
        let of_path = requests.iter().find(|request| request.path == path);
        of_path.is_some_and(|request| request.answered.is_some())
    };
    assert!(!answered("/hang") && !answered("/reset") && !answered("/flood"));
    Ok(())
}

async fn a_receiver_takes_load(_: Bed) -> Outcome {
    const CONNECTIONS: usize = 16;
    const EACH: usize = 625;
    let receiver = Receiver::keeping(Keep::Ids).await?;
    let address = receiver.address();
    let start = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..CONNECTIONS {
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            let body = "x".repeat(512);
            for number in 0..EACH {
                let request = format!(
                    "POST /hook HTTP/1.1\r\nhost: here\r\nwebhook-id: msg_{sender}_{number}\r\n\
                     content-length: 512\r\n\r\n{body}"
                );
                stream.write_all(request.as_bytes()).await?;
                let mut answer = [0; 256];
                let length = stream.read(&mut answer).await?;
                assert!(answer[..length].starts_with(b"HTTP/1.1 204 "));
            }
            anyhow::Ok(())
        });
    }
    for sent in senders.join_all().await {
        sent?;
    }
    let received = receiver
        .wait_for(SOON, |all| all.iter().all(|one| one.answered.is_some()))
        .await?;
    let per_second = received.len() as f64 / start.elapsed().as_secs_f64();
    let ids: std::collections::HashSet<_> = received.iter().map(|one| one.id()).collect();
    assert_eq!(ids.len(), CONNECTIONS * EACH);
    assert!(received.iter().all(|one| one.body.is_empty()));
    // Enough for the loads of these tests even beside a compiler; an idle machine shows far more.
    assert!(per_second > 1_000.0, "{per_second} requests a second");
    Ok(())
}

async fn the_end_of_a_process_is_seen(bed: Bed) -> Outcome {
    let nobody = ([127, 0, 0, 1], free_port()?).into();
    let start = |name: &str| {
        let mut command = Command::new("tail");
        command.args(["-f", "/dev/null"]);
        Process::spawn(command, nobody, bed.folder().join(name))
    };
    let asked = start("asked.log")?;
    assert!(asked.wait_exit(Duration::from_millis(20)).await.is_err());
    asked.sigstop()?;
    asked.sigcont()?;
    asked.sigterm()?;
    assert_eq!(asked.wait_exit(SOON).await?.signal(), Some(15));
    assert!(
        asked.sigterm().is_err(),
        "a signal to whoever has the id now"
    );

    let killed = start("killed.log")?;
    killed.sigstop()?;
    killed.kill9().await?;
    assert_eq!(
        killed.exit_status().and_then(|status| status.signal()),
        Some(9)
    );
    assert!(killed.wait_ready(SOON).await.is_err());
    Ok(())
}

/// Runs the watchdog of a test process of its own, then kills that with -9.
async fn everything_ends_when_the_run_is_killed(_: Bed) -> Outcome {
    let mut run = Command::new(std::env::current_exe()?)
        .arg(watchdog::REHEARSAL)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(run.stdout.take().context("stdout is piped")?);
    let mut said = String::new();
    output.read_line(&mut said)?;
    let (guarded, folder) = said.trim().split_once(' ').context("pid and folder")?;
    let is_there = || Path::new("/proc").join(guarded).exists() || Path::new(folder).exists();
    assert!(is_there(), "{said}");
    run.kill()?;
    run.wait()?;
    let gone = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while is_there() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(SOON, gone).await?;
    Ok(())
}

async fn records_come_back_as_they_were_produced(bed: Bed) -> Outcome {
    let kafka = bed.kafka()?;
    let topic = unique_name();
    kafka
        .create_topic(&topic, 3, &[("cleanup.policy", "compact")])
        .await?;
    let records = [
        NewRecord {
            headers: vec![("a".into(), vec![1]), ("a".into(), vec![2])],
            partition: Some(2),
            ..NewRecord::keyed("k", "v")
        },
        NewRecord {
            key: Some("k".into()),
            partition: Some(1),
            ..NewRecord::default()
        },
    ];
    let landed = kafka.produce_all(&topic, &records).await?;
    assert_eq!(
        landed.iter().map(|at| at.partition).collect::<Vec<_>>(),
        [2, 1]
    );

    let read = kafka.read_topic(&topic).await?;
    assert_eq!(read.len(), 2);
    assert_eq!((read[0].partition, &read[0].value), (1, &None));
    assert_eq!(read[1].value.as_deref(), Some(&b"v"[..]));
    assert_eq!(
        read[1].headers,
        [("a".into(), vec![1]), ("a".into(), vec![2])]
    );
    assert!(read[1].timestamp > 1_700_000_000_000);

    let waiting = {
        let (kafka, topic) = (kafka.clone(), topic.clone());
        tokio::spawn(async move {
            kafka
                .wait_for_topic(&topic, SOON, |records| records.len() == 3)
                .await
        })
    };
    kafka
        .produce(&topic, &NewRecord::keyed("k", "late"))
        .await?;
    assert_eq!(waiting.await??.len(), 3);

    let committed = kafka.committed("nobody", &[&topic]).await?;
    assert_eq!(committed.len(), 3);
    assert!(committed.iter().all(|one| one.offset.is_none()));
    assert!(kafka.read_topic("no-such-topic").await.is_err());
    Ok(())
}

async fn aborted_records_are_not_read(bed: Bed) -> Outcome {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let kafka = bed.kafka()?.clone();
    let topic = unique_name();
    kafka.create_topic(&topic, 1, &[]).await?;
    let (config, to) = (kafka.client_config(), topic.clone());
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = config.clone().set("transactional.id", &to).create()?;
        producer.init_transactions(SOON)?;
        for (value, commit) in [("aborted", false), ("committed", true)] {
            producer.begin_transaction()?;
            let record = BaseRecord::<str, str>::to(&to).payload(value);
            producer.send(record).map_err(|(error, _)| error)?;
            producer.flush(SOON)?;
            if commit {
                producer.commit_transaction(SOON)?;
            } else {
                producer.abort_transaction(SOON)?;
            }
        }
        anyhow::Ok(())
    })
    .await??;
    let read = kafka.wait_for_topic(&topic, SOON, |records| !records.is_empty());
    let values: Vec<_> = read.await?.into_iter().map(|record| record.value).collect();
    assert_eq!(values, [Some(b"committed".to_vec())]);
    Ok(())
}

async fn java_and_kcat_produce(bed: Bed) -> Outcome {
    let kafka = bed.kafka()?;
    for producer in [ForeignProducer::Java, ForeignProducer::Kcat] {
        let topic = unique_name();
        kafka.create_topic(&topic, 2, &[]).await?;
        let records = [("key", r#"{"n":1.10}"#), ("", "é")];
        if producer.produce(kafka, &topic, &records).await? {
            let mut read = kafka.read_topic(&topic).await?;
            read.sort_by(|left, right| right.key.cmp(&left.key));
            let values: Vec<_> = read.iter().map(|one| one.value.as_deref()).collect();
            let expected = records.map(|(_, value)| Some(value.as_bytes()));
            assert_eq!(values, expected, "{producer:?}");
            assert_eq!(read[0].key.as_deref(), Some("key"));
        }
    }
    Ok(())
}
