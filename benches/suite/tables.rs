//! The tables of the page.

use super::kept::Kept;
use super::scenario::{
    FLAT_OUT, LATENCY, PEERS, PROCESSES, SLOW, START, SUBSCRIPTIONS, Scenario, Subject,
};
use super::target::{
    self, Side, bytes_per_subscription, cpu_over_bare, peak_megabytes, router_over_copy, speed,
};

/// A table in the making.
pub struct Table(String);

impl Table {
    /// With these columns; all but the first hold numbers.
    pub fn new(columns: &[&str]) -> Self {
        let rule = "---:|".repeat(columns.len() - 1);
        Self(format!("| {} |\n|---|{rule}\n", columns.join(" | ")))
    }

    /// One more row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0 += &format!("| {} |\n", cells.join(" | "));
    }

    /// Under its heading, with what has to be said.
    pub fn under(self, heading: &str, words: &str) -> String {
        format!("### {heading}\n\n{}\n\n{}", words.trim(), self.0.trim_end())
    }
}

/// A whole number with commas; a dash for none.
pub fn whole(number: Option<f64>) -> String {
    fixed(number, 0)
}

/// A number with commas and so many digits behind the point.
pub fn fixed(number: Option<f64>, decimals: usize) -> String {
    let Some(number) = number.filter(|it| it.is_finite()) else {
        return "–".to_owned();
    };
    let text = format!("{number:.decimals$}");
    let digits = text.find('.').unwrap_or(text.len());
    let mut with_commas = String::new();
    for (index, character) in text.char_indices() {
        if index > 0
            && index < digits
            && (digits - index).is_multiple_of(3)
            && &text[..index] != "-"
        {
            with_commas.push(',');
        }
        with_commas.push(character);
    }
    with_commas
}

/// Milliseconds for 1,000, which is microseconds for each.
fn cpu(kept: &Kept, scenario: &str, pointer: &str) -> String {
    whole(kept.number(scenario, pointer).map(|it| it * 1_000.0))
}

const OURS: &str = "/hooktide/cpu_s_per_1000";
const BROKER: &str = "/broker_cpu_s_per_1000";
const BARE: &str = "/bare_loop/cpu_s_per_1000";

pub fn machine(kept: &Kept) -> String {
    let mut words = "### Where\n\n".to_owned();
    let machines = kept.machines();
    if machines.len() > 1 {
        words += "The runs below are not of one machine and version, and must not be compared:\n\n";
    }
    for machine in machines {
        for (name, value) in machine {
            words += &format!("* {name}: {value}\n");
        }
        words.push('\n');
    }
    match kept.days() {
        Some((first, last)) if first == last => words += &format!("Measured on {first}."),
        Some((first, last)) => words += &format!("Measured from {first} to {last}."),
        None => words += "Nothing is measured yet.",
    }
    words
}

pub fn targets(kept: &Kept) -> String {
    let mut table = Table::new(&["", "figure", "target", "stretch", ""]);
    for it in target::all() {
        let bound = |number| {
            let sign = match it.side {
                Side::AtLeast => "≥",
                Side::AtMost => "≤",
            };
            format!(
                "{sign} {}{}",
                fixed(Some(number), decimals_of(number)),
                it.unit
            )
        };
        let figure = (it.figure)(kept);
        let unit = figure.map_or("", |_| it.unit);
        table.row([
            it.what.to_owned(),
            format!("{}{unit}", fixed(figure, it.decimals())),
            bound(it.target),
            bound(it.stretch),
            it.verdict(kept).as_str().to_owned(),
        ]);
    }
    table.under(
        "Targets",
        "For two cores with broker, load, receiver and Hooktide on them. Bytes and megabytes are of \
         resident memory.",
    )
}

/// Bounds are written as short as they are.
fn decimals_of(bound: f64) -> usize {
    usize::from(bound.fract() != 0.0)
}

pub fn flat_out(kept: &Kept) -> String {
    let mut table = Table::new(&[
        "",
        "deliveries/s",
        "bare loop/s",
        "CPU-ms per 1,000: Hooktide",
        "broker",
        "bare loop",
        "Hooktide's ÷ bare loop's",
        "peak memory, MB",
    ]);
    for Scenario { name, title, .. } in FLAT_OUT.iter().chain(&PROCESSES) {
        table.row([
            (*title).to_owned(),
            whole(speed(kept, name)),
            whole(kept.number(name, "/bare_loop/per_second")),
            cpu(kept, name, OURS),
            cpu(kept, name, BROKER),
            cpu(kept, name, BARE),
            fixed(cpu_over_bare(kept, name), 2),
            whole(peak_megabytes(kept, name)),
        ]);
    }
    table.under(
        "As fast as it can",
        "From the first event produced until the last delivery arrived, producing included. Bodies of 512 \
         bytes, 100 subscriptions (1,000 with 1,000 endpoints), transactions, signatures and a record of \
         every attempt. CPU-ms per 1,000 deliveries is microseconds for each. The bare loop posts the same \
         bytes to the same receiver in the same run with `reqwest` and does nothing else: 64 requests at \
         once, 256 where the receiver takes its time. What fails is made again 5 s later and counts once; \
         those 5 s are in its figure. Memory of several processes is that of all together.",
    )
}

pub fn latency(kept: &Kept) -> String {
    let mut table = Table::new(&[
        "events/s",
        "p50, ms",
        "p95",
        "p99",
        "max",
        "CPU-ms per 1,000: Hooktide",
        "broker",
        "bare loop",
    ]);
    for Scenario { name, title, .. } in &LATENCY {
        let at = |percentile| fixed(kept.number(name, &format!("/latency_ms/{percentile}")), 1);
        table.row([
            (*title).to_owned(),
            at("p50"),
            at("p95"),
            at("p99"),
            at("max"),
            cpu(kept, name, OURS),
            cpu(kept, name, BROKER),
            cpu(kept, name, BARE),
        ]);
    }
    table.under(
        "Latency",
        "From produced to received, through both roles and their transactions, for 30 seconds. At a small \
         rate a transaction carries few deliveries, so each costs more CPU.",
    )
}

pub fn bursts(kept: &Kept) -> String {
    let mut table = Table::new(&[
        "",
        "deliveries/s",
        "CPU-ms per 1,000: Hooktide",
        "broker",
        "bare loop",
        "peak memory, MB",
    ]);
    for Scenario { name, title, .. } in &super::scenario::BURSTS {
        table.row([
            (*title).to_owned(),
            whole(speed(kept, name)),
            cpu(kept, name, OURS),
            cpu(kept, name, BROKER),
            cpu(kept, name, BARE),
            whole(peak_megabytes(kept, name)),
        ]);
    }
    let late = |percentile| {
        let pointer = format!("/retried/lateness_ms/{percentile}");
        let seconds = kept.number("retries-due", &pointer).map(|it| it / 1_000.0);
        fixed(seconds, 1)
    };
    let new = |percentile| whole(kept.number("retries-due", &format!("/latency_ms/{percentile}")));
    let words = format!(
        "The catch-up is measured from the start of the process, the retries from the first that went out, \
         with 200 new events a second beside them. Half of the retries were out {} s after they were due, 99 % \
         after {} s, the last after {} s; none too early: {}. The new events took p50 {} ms, p99 {} ms.",
        late("p50"),
        late("p99"),
        late("max"),
        whole(kept.number("retries-due", "/retried/early")),
        new("p50"),
        new("p99"),
    );
    table.under("Everything at once", &words)
}

pub fn router(kept: &Kept) -> String {
    let mut table = Table::new(&["", "records out/s", "CPU-ms per 1,000", "peak memory, MB"]);
    let name = "router-alone";
    table.row([
        "router, one to one".to_owned(),
        whole(speed(kept, name)),
        cpu(kept, name, OURS),
        whole(peak_megabytes(kept, name)),
    ]);
    let memory = kept.number(name, "/copy/peak_memory_bytes");
    table.row([
        "raw transactional copy of what it wrote".to_owned(),
        whole(kept.number(name, "/copy/per_second")),
        cpu(kept, name, "/copy/cpu_s_per_1000"),
        whole(memory.map(|bytes| bytes / 1e6)),
    ]);
    let words = format!(
        "A process with the router alone reads 1,000,000 events that are there, and writes as many tasks. \
         The copy is one loop that moves the same tasks from topic to topic, with a producer as \
         the router's, a consumer that reads further ahead, and as many records in a transaction. The router \
         reaches {} of it.",
        fixed(router_over_copy(kept), 2),
    );
    table.under("Router alone", &words)
}

pub fn subscriptions(kept: &Kept) -> String {
    let mut table = Table::new(&[
        "subscriptions",
        "tasks/s",
        "CPU-ms per 1,000 tasks",
        "ready after, s",
        "memory when ready, MB",
    ]);
    for Scenario { name, title, .. } in SUBSCRIPTIONS.iter().chain(&START) {
        let memory = kept.number(name, "/start/memory_bytes");
        let is_router = SUBSCRIPTIONS.iter().any(|it| it.name == *name);
        let if_router = |cell: String| if is_router { cell } else { String::new() };
        table.row([
            (*title).to_owned(),
            if_router(whole(speed(kept, name))),
            if_router(cpu(kept, name, OURS)),
            fixed(kept.number(name, "/start/ready_in_s"), 1),
            whole(memory.map(|bytes| bytes / 1e6)),
        ]);
    }
    let words = format!(
        "The router alone, where three subscriptions match each event. With 1,000,000 no event type comes \
         twice, so nothing of it is in a cache. By the last row a subscription takes {} bytes.",
        whole(bytes_per_subscription(kept)),
    );
    table.under("Subscriptions that do not match", &words)
}

pub fn idle(kept: &Kept) -> String {
    let percent = |pointer| fixed(kept.number("idle", pointer).map(|it| it * 100.0), 1);
    let memory = kept.number("idle", "/idle/memory_bytes");
    format!(
        "### Idle\n\nWith all tiers assigned and nothing to do, Hooktide takes {} % of a core and {} MB of \
         memory; the broker takes {} % of a core.",
        percent("/idle/cpu_of_a_core"),
        whole(memory.map(|bytes| bytes / 1e6)),
        percent("/idle/broker_cpu_of_a_core"),
    )
}

pub fn peers(kept: &Kept) -> String {
    let mut table = Table::new(&[
        "",
        "at once",
        "deliveries/s",
        "Hooktide ÷ it",
        "bare loop/s",
        "CPU-ms per 1,000",
        "broker",
        "peak memory, MB",
    ]);
    let ours = speed(kept, "one-to-one");
    let hooktide = FLAT_OUT.iter().find(|it| it.name == "one-to-one");
    for it in hooktide.into_iter().chain(&PEERS) {
        let name = it.name;
        let (title, at_once) = match it.subject {
            Subject::Hooktide => ("**Hooktide**", "256".to_owned()),
            Subject::Go(at_once) | Subject::Java(_, at_once) | Subject::JavaByKey(_, at_once) => {
                (it.title, at_once.to_string())
            }
        };
        let theirs = speed(kept, name);
        table.row([
            title.to_owned(),
            at_once,
            whole(theirs),
            fixed(ours.zip(theirs).map(|(ours, theirs)| ours / theirs), 2),
            whole(kept.number(name, "/bare_loop/per_second")),
            cpu(kept, name, OURS),
            cpu(kept, name, BROKER),
            whole(peak_megabytes(kept, name)),
        ]);
    }
    let words = format!(
        "The same load, receiver and machine, one to one, with others in the place of Hooktide: a consumer \
         written by hand in Go (franz-go {}, [loop.go](../tests/peers/loop.go)), and Confluent's Parallel \
         Consumer {} with Java's HTTP client (core) and with Vert.x ([Peer.java](../tests/peers/Peer.java), \
         unordered, 1 GiB heap). They post the record's value with its id, commit once a second, and do \
         neither joins nor signatures, attempts, retries or isolation. Each after 20,000 events of warming \
         up.",
        version(GO, "franz-go v", "\n"),
        version(MAVEN, "<version>0", "</version>"),
    );
    table.under("Others in its place", &words)
}

const GO: &str = include_str!("../../tests/peers/go.mod");
const MAVEN: &str = include_str!("../../tests/peers/pom.xml");

/// What stands between, with the last character of `start`.
fn version(text: &'static str, start: &str, end: &str) -> &'static str {
    let from = text.find(start).map_or(0, |at| at + start.len() - 1);
    let rest = &text[from..];
    &rest[..rest.find(end).unwrap_or(rest.len())]
}

pub fn slow(kept: &Kept) -> String {
    let mut table = Table::new(&[
        "",
        "of the others' deliveries came",
        "p50, ms",
        "p99, ms",
        "longest time without any, s",
    ]);
    for Scenario { name, title, .. } in &SLOW {
        let number = |pointer| kept.number(name, pointer);
        let arrived = number("/others/arrived").zip(number("/others/deliveries"));
        let share = arrived.map(|(arrived, all)| arrived * 100.0 / all);
        table.row([
            (*title).to_owned(),
            share.map_or("–".to_owned(), |it| format!("{it:.1} %")),
            fixed(number("/latency_ms/p50"), 1),
            fixed(number("/latency_ms/p99"), 1),
            fixed(number("/others/longest_gap_s"), 1),
        ]);
    }
    table.under(
        "One that is slow among fifty",
        "1,000 live events a second for a minute; one of fifty endpoints takes 5 s for each of its 2 %. \
         Parallel Consumer keeps the order of each key, with its own defaults. What came within 30 s of the \
         last event counts.",
    )
}
