//! `hooktide dev` as somebody sees it who has just built it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::support::kafka::{Kafka, NewRecord};
use crate::support::receiver::Receiver;
use crate::support::{Bed, Outcome, tests};

tests! {
    plain:
        everything_is_told_and_adds_up,
        a_second_terminal_takes_part,
        a_signal_ends_it_with_totals,
        kills_want_a_kafka;
    kafka:
        a_given_kafka_is_left_as_it_was,
        kills_lose_nothing,
}

/// Everything but the waits that were asked for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `hooktide dev` and what it says, line by line.
struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
}

impl Dev {
    /// Starts it without any settings of the machine that runs the tests, and without a terminal.
    fn start(bed: &Bed, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = hooktide(bed);
        command.arg("dev").args(arguments);
        let mut child = tokio::process::Command::from(command)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
            said: Vec::new(),
        })
    }

    /// Reads on until a line holds all of these words.
    async fn wait_for(&mut self, words: &[&str]) -> anyhow::Result<String> {
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                self.said.push(line.clone());
                if words.iter().all(|word| line.contains(word)) {
                    return Ok(line);
                }
            }
            anyhow::bail!("it ended without saying {words:?}")
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        let found = found.context("took too long").flatten();
        found.with_context(|| format!("waiting for {words:?}\n{}", self.said.join("\n")))
    }

    /// Reads on to the end. The exit code and everything that it said to stdout and to stderr.
    async fn end(mut self) -> anyhow::Result<(Option<i32>, Vec<String>, String)> {
        let ended = async {
            while let Some(line) = self.lines.next_line().await? {
                self.said.push(line);
            }
            let mut talk = String::new();
            let mut stderr = self.child.stderr.take().context("stderr is piped")?;
            stderr.read_to_string(&mut talk).await?;
            let status = self.child.wait().await?;
            anyhow::Ok((status.code(), talk))
        };
        let (code, talk) = tokio::time::timeout(2 * PATIENCE, ended).await??;
        Ok((code, self.said, talk))
    }
}

fn hooktide(bed: &Bed) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hooktide"));
    command.current_dir(bed.folder());
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_string_lossy().starts_with("HOOKTIDE__")) {
        command.env_remove(name);
    }
    command
}

/// The numbers of a line of totals, each under the word before it; `delivered` stands there twice.
fn numbers(line: &str) -> anyhow::Result<BTreeMap<String, Vec<u64>>> {
    let (_, totals) = line.split_once("totals").context("no totals")?;
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut name = Vec::new();
    for word in totals.split_whitespace() {
        if let Ok(number) = word.parse() {
            found.entry(name.join(" ")).or_default().push(number);
            name.clear();
        } else if word.chars().all(char::is_alphabetic) {
            name.push(word);
        }
    }
    Ok(found)
}

fn check_totals(said: &[String]) -> anyhow::Result<BTreeMap<String, Vec<u64>>> {
    let last = said.iter().rev().find(|line| line.contains("totals"));
    let totals = numbers(last.context("no totals")?)?;
    let of = |name: &str| totals.get(name).map(|found| found[0]).unwrap_or_default();
    let ended = of("delivered") + of("dead letters") + of("under way");
    assert_eq!(of("tasks"), ended, "{last:?}");
    let requests = of("delivered") + of("to retry") + of("given up");
    assert_eq!(of("requests"), requests, "{last:?}");
    assert_eq!(totals["delivered"][0], totals["delivered"][1]);
    // Nothing is dead-lettered here without a last request.
    assert_eq!(of("dead letters"), of("given up"), "{last:?}");
    Ok(totals)
}

/// Lines of the show whose label is this one.
fn labelled<'a>(said: &'a [String], label: &str) -> Vec<&'a str> {
    let is_labelled = |line: &&String| {
        let mut words = line.split_whitespace();
        let time = words.next().and_then(|word| word.strip_suffix('s'));
        time.is_some_and(|time| time.parse::<f64>().is_ok()) && words.next() == Some(label)
    };
    said.iter()
        .filter(is_labelled)
        .map(String::as_str)
        .collect()
}

async fn everything_is_told_and_adds_up(bed: Bed) -> Outcome {
    let (code, said, talk) = Dev::start(&bed, &["--for", "8s"])?.end().await?;
    let all = said.join("\n");
    assert_eq!(code, Some(0), "{all}\n{talk}");
    assert_eq!(talk, "");
    assert!(!all.contains('\x1b'), "no colours without a terminal");
    for word in [
        "cannot prove durability",
        "--bootstrap",
        "subscriptions put",
        "events produce",
    ] {
        assert!(all.contains(word), "{word}");
    }
    let events = labelled(&said, "event");
    assert!(events.iter().all(|line| line.contains(" task")), "{all}");
    let requests = labelled(&said, "request");
    for words in [
        ["acme/good", ": 204 in ", "→ delivered"],
        ["acme/flaky", ": 503 in ", "→ again in 1.0 s"],
        ["acme/limited", ": 429 in ", "→ again in 2.0 s"],
        ["globex/slow", ": 204 in 20", "→ delivered"],
        ["acme/dead", "attempt 3: connect", "→ dead"],
    ] {
        let is_told = |line: &&str| words.iter().all(|word| line.contains(word));
        assert!(requests.iter().any(is_told), "{words:?}\n{all}");
    }
    let dead = labelled(&said, "dead");
    assert!(!dead.is_empty(), "{all}");
    assert!(
        dead[0].contains("acme/dead: exhausted after 3 requests"),
        "{all}"
    );

    // What is told line by line is what the totals say.
    let totals = check_totals(&said)?;
    assert_eq!(totals["events"][0], events.len() as u64, "{all}");
    assert_eq!(totals["requests"][0], requests.len() as u64, "{all}");
    assert_eq!(totals["dead letters"][0], dead.len() as u64, "{all}");
    let tasks: u64 = events
        .iter()
        .filter_map(|line| {
            line.rsplit_once("→ ")?
                .1
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    assert_eq!(totals["tasks"][0], tasks, "{all}");
    Ok(())
}

async fn a_second_terminal_takes_part(bed: Bed) -> Outcome {
    let receiver = Receiver::start().await?;
    let mut dev = Dev::start(&bed, &[])?;
    let put = dev.wait_for(&["subscriptions put"]).await?;
    let produce = dev.wait_for(&["events produce"]).await?;
    dev.wait_for(&["ready"]).await?;
    // As printed, to the test's own receiver.
    let (_, rest) = put.split_once("\"url\":\"").context("a URL")?;
    let (printed, _) = rest.split_once('"').context("a URL's end")?;
    run(&bed, &put.replace(printed, &receiver.url("/mine"))).await?;
    run(&bed, &produce).await?;
    dev.wait_for(&["request", "to default/mine, attempt 1: 204"])
        .await?;
    let received = receiver.wait_for_count("/mine", 1, PATIENCE).await?;
    assert_eq!(received[0].json()?["type"], "hello.world");

    // Any other client may produce too.
    let (_, servers) = produce
        .split_once("BOOTSTRAP_SERVERS=")
        .context("servers")?;
    let servers = servers.split(' ').next().context("servers")?;
    let record = NewRecord::value(r#"{"id":"theirs","type":"from.elsewhere","data":1}"#);
    Kafka::new(servers)?.produce("events", &record).await?;
    dev.wait_for(&["event", "from.elsewhere theirs of default → 1 task"])
        .await?;
    let received = receiver.wait_for_count("/mine", 2, PATIENCE).await?;
    assert_eq!(received[1].json()?["id"], "theirs");
    Ok(())
}

/// Runs a printed command as a shell would.
async fn run(bed: &Bed, line: &str) -> Outcome {
    let mut shell = Command::new("sh");
    shell.args(["-c", line.trim()]).current_dir(bed.folder());
    let output = tokio::process::Command::from(shell).output().await?;
    anyhow::ensure!(output.status.success(), "{line}\n{output:?}");
    Ok(())
}

async fn a_signal_ends_it_with_totals(bed: Bed) -> Outcome {
    let mut dev = Dev::start(&bed, &[])?;
    dev.wait_for(&["request", "delivered"]).await?;
    let id = dev.child.id().context("it runs")?.to_string();
    let kill = Command::new("kill").args(["-s", "INT", &id]).status()?;
    assert!(kill.success());
    let (code, said, talk) = dev.end().await?;
    assert_eq!(code, Some(0), "{talk}");
    assert!(check_totals(&said)?["delivered"][0] > 0);
    Ok(())
}

async fn kills_want_a_kafka(bed: Bed) -> Outcome {
    for arguments in [
        &["--chaos"][..],
        &["--for", "soon"],
        &["--for", "3"],
        &["now"],
    ] {
        let (code, said, talk) = Dev::start(&bed, arguments)?.end().await?;
        assert_eq!((code, said.len()), (Some(2), 0), "{arguments:?} {talk}");
        assert!(talk.starts_with("error: "), "{talk}");
    }
    Ok(())
}

async fn a_given_kafka_is_left_as_it_was(bed: Bed) -> Outcome {
    let servers = bed.kafka()?.bootstrap_servers();
    let mut dev = Dev::start(&bed, &["--bootstrap", servers, "--for", "4s"])?;
    let topics = dev.wait_for(&["topics hooktide-dev-"]).await?;
    let (_, id) = topics.split_once("topics ").context("their names")?;
    let id = id.split('*').next().context("their prefix")?.to_owned();
    let (code, said, talk) = dev.end().await?;
    assert_eq!(code, Some(0), "{}\n{talk}", said.join("\n"));
    assert!(check_totals(&said)?["delivered"][0] > 0);
    for topic in [format!("{id}.attempts"), format!("{id}-events")] {
        assert!(bed.kafka()?.read_topic(&topic).await.is_err(), "{topic}");
    }
    Ok(())
}

async fn kills_lose_nothing(bed: Bed) -> Outcome {
    let servers = bed.kafka()?.bootstrap_servers();
    let arguments = ["--bootstrap", servers, "--chaos", "--for", "20s"];
    let (code, said, talk) = Dev::start(&bed, &arguments)?.end().await?;
    let all = said.join("\n");
    assert_eq!(code, Some(0), "{all}\n{talk}");
    let totals = check_totals(&said)?;
    assert_eq!(totals["under way"][0], 0, "{all}");
    let last = said.last().context("a verdict")?;
    assert!(last.contains("lost 0 · doubled "), "{all}");
    assert!(!last.contains("NOT"), "{all}");
    let kills = labelled(&said, "chaos");
    let kills = kills.iter().filter(|line| line.contains("is killed (-9)"));
    assert!(kills.count() >= 3, "{all}");
    Ok(())
}
