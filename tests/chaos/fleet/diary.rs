//! What the log of a process tells about its life: which instance it is, and when its partitions went.

use std::time::Duration;

use hooktide::clock::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::plan::SESSION;
use crate::record::Strike;

/// See the module.
#[derive(Debug, Default)]
pub struct Diary {
    /// Its instance id, given or chosen.
    pub instance: Option<String>,
    /// Times in which the dispatcher was without the partitions that it had before, or gave work up as Kafka
    /// took too long.
    pub rebalances: Vec<Strike>,
}

/// Until somebody else's requests for lost partitions can have begun before the loss was noticed.
const BEFORE_NOTICE: Duration = Duration::from_secs(2 * SESSION.as_secs());

impl Diary {
    /// Reads a log.
    pub fn read(log: &str) -> Self {
        let mut diary = Self::default();
        let mut open: Option<Strike> = None;
        let mut last = None;
        for line in log.lines() {
            let Some(at) = time_of(line) else { continue };
            last = Some(at);
            if let (None, Some(instance)) = (&diary.instance, quoted(line, "instance=")) {
                diary.instance = Some(instance.to_owned());
            }
            let instance = diary.instance.clone().unwrap_or_default();
            let of_dispatcher = line.contains(r#"role="dispatcher""#);
            let begun = |fault: &str, from| Strike {
                from,
                noticed: at,
                until: at,
                is_fault: false,
                ..Strike::on(fault, &instance)
            };
            if line.contains("partitions asked back") && of_dispatcher {
                open = open.or(Some(begun("rebalance", at)));
            } else if line.contains("partitions lost: nothing is committed") {
                open = open.or(Some(begun("partitions lost", at.before(BEFORE_NOTICE))));
            } else if line.contains("finished work could not be committed in time") {
                diary.rebalances.push(begun("last commit not in time", at));
            } else if line.contains("partitions assigned") && of_dispatcher {
                diary.rebalances.extend(open.take().map(|strike| Strike {
                    until: at,
                    ..strike
                }));
            }
        }
        // It ended before it was given any again.
        diary.rebalances.extend(open.take().map(|strike| Strike {
            until: last.unwrap_or(strike.until),
            ..strike
        }));
        diary
    }
}

fn time_of(line: &str) -> Option<Timestamp> {
    let (first, _) = line.split_once(' ')?;
    let nanos = OffsetDateTime::parse(first, &Rfc3339)
        .ok()?
        .unix_timestamp_nanos();
    Some(Timestamp::from_millis(
        i64::try_from(nanos / 1_000_000).ok()?,
    ))
}

/// The value of a field, with or without quotation marks.
fn quoted<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(field)?;
    let end = rest[1..].find(['"', ' ']).map_or(rest.len(), |end| end + 1);
    Some(rest[..end].trim_matches('"'))
}
