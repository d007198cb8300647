//! docs/performance.md and its plots, from the runs that are kept. What stands outside of the markers is
//! written by hand and stays.

use std::path::Path;
use std::{fs, io};

use super::chart::{Bar, Curve, bars, colour, curves};
use super::kept::Kept;
use super::marked;
use super::scenario::{FLAT_OUT, LATENCY, PEERS, SLOW};
use super::tables::{self, fixed, whole};
use super::target::{best, speed};

/// What the suite has written lies between these lines.
pub const MARKERS: [&str; 2] = [
    "<!-- Written by `cargo bench --bench suite`: -->",
    "<!-- : until here. -->",
];

/// Writes the page's part and all plots.
pub fn write(kept: &Kept) -> io::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = docs.join("performance.md");
    let text = fs::read_to_string(&page)?;
    let with = with_part(&text, &part(kept));
    let with = with.ok_or_else(|| io::Error::other("docs/performance.md has no markers"))?;
    fs::write(page, with)?;
    let folder = docs.join("performance");
    fs::create_dir_all(&folder)?;
    for (name, svg) in plots(kept) {
        fs::write(folder.join(name), svg)?;
    }
    Ok(())
}

/// A page with this between its markers; none if it has none.
pub fn with_part(page: &str, part: &str) -> Option<String> {
    marked::with_part(page, MARKERS, part)
}

/// What lies between the markers.
pub fn part(kept: &Kept) -> String {
    [
        tables::machine(kept),
        tables::targets(kept),
        plot("deliveries", "deliveries a second of each scenario"),
        tables::flat_out(kept),
        plot("cpu", "CPU of a delivery"),
        tables::latency(kept),
        plot("latency", "latency at three rates"),
        tables::bursts(kept),
        tables::router(kept),
        tables::subscriptions(kept),
        tables::idle(kept),
        tables::peers(kept),
        plot("peers", "deliveries a second of others"),
        tables::slow(kept),
        plot("slow-key", "what the other keys get beside a slow one"),
    ]
    .join("\n\n")
}

fn plot(name: &str, words: &str) -> String {
    format!("![{words}](performance/{name}.svg)")
}

/// Every plot and the name of its file.
pub fn plots(kept: &Kept) -> [(&'static str, String); 5] {
    [
        ("deliveries.svg", deliveries(kept)),
        ("cpu.svg", cpu(kept)),
        ("latency.svg", latency(kept)),
        ("peers.svg", peers(kept)),
        ("slow-key.svg", slow(kept)),
    ]
}

fn deliveries(kept: &Kept) -> String {
    let rows = FLAT_OUT.iter().map(|scenario| {
        let speed = speed(kept, scenario.name);
        Bar {
            label: scenario.title.to_owned(),
            parts: vec![(speed.unwrap_or_default(), colour::OURS)],
            mark: kept.number(scenario.name, "/bare_loop/per_second"),
            note: whole(speed),
        }
    });
    let legend = [
        (colour::OURS, "Hooktide"),
        (colour::BARE, "the bare loop of the same run"),
    ];
    bars("Deliveries a second", &legend, &rows.collect::<Vec<_>>())
}

fn cpu(kept: &Kept) -> String {
    let rows = FLAT_OUT.iter().map(|scenario| {
        let micros = |pointer| kept.number(scenario.name, pointer).map(|it| it * 1_000.0);
        let ours = micros("/hooktide/cpu_s_per_1000");
        let broker = micros("/broker_cpu_s_per_1000");
        Bar {
            label: scenario.title.to_owned(),
            parts: vec![
                (ours.unwrap_or_default(), colour::OURS),
                (broker.unwrap_or_default(), colour::BROKER),
            ],
            mark: micros("/bare_loop/cpu_s_per_1000"),
            note: format!("{} + {}", whole(ours), whole(broker)),
        }
    });
    let legend = [
        (colour::OURS, "Hooktide"),
        (colour::BROKER, "the broker"),
        (colour::BARE, "the bare loop"),
    ];
    let title = "Microseconds of CPU for a delivery";
    bars(title, &legend, &rows.collect::<Vec<_>>())
}

fn latency(kept: &Kept) -> String {
    const SHADES: [(&str, &str); 3] = [("p50", "#1d4ed8"), ("p95", "#60a5fa"), ("p99", "#bfdbfe")];
    let rows = LATENCY.iter().map(|scenario| {
        let at = |name| kept.number(scenario.name, &format!("/latency_ms/{name}"));
        let mut reached = 0.0;
        let parts = SHADES.map(|(name, colour)| {
            let more = at(name).map_or(0.0, |it| it - reached);
            reached += more;
            (more, colour)
        });
        let [p50, p95, p99] = SHADES.map(|(name, _)| fixed(at(name), 1));
        Bar {
            label: format!("{} events/s", scenario.title),
            parts: parts.into(),
            mark: None,
            note: format!("{p50} · {p95} · {p99}"),
        }
    });
    let legend = SHADES.map(|(name, colour)| (colour, name));
    let title = "Milliseconds from produced to received";
    bars(title, &legend, &rows.collect::<Vec<_>>())
}

fn peers(kept: &Kept) -> String {
    let ours = ("Hooktide", "one-to-one", colour::OURS);
    let theirs = ["go-", "vertx-", "core-"].map(|prefix| {
        let usual = PEERS.iter().find(|it| it.name.starts_with(prefix));
        let scenario = best(kept, prefix).or(usual);
        scenario.map(|it| (it.title, it.name, colour::PEER))
    });
    let rows = [Some(ours)].into_iter().chain(theirs).flatten();
    let rows = rows.map(|(title, name, colour)| {
        let speed = speed(kept, name);
        Bar {
            label: title.to_owned(),
            parts: vec![(speed.unwrap_or_default(), colour)],
            mark: kept.number(name, "/bare_loop/per_second"),
            note: whole(speed),
        }
    });
    let legend = [
        (colour::OURS, "Hooktide"),
        (colour::PEER, "others, which neither sign nor record"),
        (colour::BARE, "the bare loop"),
    ];
    let title = "Deliveries a second, one to one";
    bars(title, &legend, &rows.collect::<Vec<_>>())
}

fn slow(kept: &Kept) -> String {
    let lines = SLOW.iter().zip([colour::OURS, colour::PEER]);
    let lines: Vec<Curve> = lines
        .map(|(scenario, colour)| {
            let seconds = kept.value(scenario.name, "/others/by_second");
            let seconds = seconds.and_then(|it| it.as_array());
            let numbers = seconds.into_iter().flatten().filter_map(|it| it.as_f64());
            let mut points: Vec<_> = (0..).map(f64::from).zip(numbers).collect();
            // After the last that came, none did.
            if let Some((last, _)) = points.last().copied()
                && last < SLOW_SECONDS
            {
                points.extend([(last + 1.0, 0.0), (SLOW_SECONDS, 0.0)]);
            }
            Curve { colour, points }
        })
        .collect();
    let legend = [(colour::OURS, SLOW[0].title), (colour::PEER, SLOW[1].title)];
    curves(
        "Deliveries a second to those who are not slow",
        &legend,
        (SLOW_SECONDS, "seconds"),
        &lines,
    )
}

/// For how long events come in `SLOW`.
const SLOW_SECONDS: f64 = 60.0;
