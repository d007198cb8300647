//! What the user is told of a plan, and the secrets that were made for it.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::diff::Difference;
use super::plan::{Action, Plan, Step, Written};
use crate::cli::Output;
use crate::cli::output::{self, plain};

/// How much of a value is shown to people, in characters.
const LONGEST: usize = 120;

/// Whether secrets that were made are among what is told.
pub(super) enum Secrets {
    Said,
    Unsaid,
}

/// A step for scripts.
#[derive(Serialize)]
struct Told<'a> {
    action: &'static str,
    tenant: &'a str,
    id: &'a str,
    /// Of the record that it replaces.
    revision: Option<i64>,
    #[serde(flatten)]
    place: Option<&'a super::manifest::Place>,
    differences: &'a [Difference],
    #[serde(flatten)]
    made: Option<Made>,
}

/// What was made anew for a subscription, to be given to its receiver.
#[derive(Serialize)]
struct Made {
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

impl Made {
    fn of(written: &Written) -> Option<Self> {
        let made = Self {
            secret: written.made.secret.clone(),
            public_key: written
                .made
                .pair
                .as_ref()
                .map(|pair| pair.public().to_string()),
        };
        (made.secret.is_some() || made.public_key.is_some()).then_some(made)
    }
}

/// Tells what differs, and how much of it.
pub(super) fn say(
    plan: &Plan,
    is_dry: bool,
    secrets: &Secrets,
    format: Output,
) -> anyhow::Result<()> {
    let has_secrets = plan
        .steps
        .iter()
        .filter_map(Step::written)
        .any(|w| Made::of(w).is_some());
    match format {
        Output::Json => output::json(&document(plan, is_dry, secrets))?,
        Output::Text => output::data(&text(plan, is_dry, secrets, &Paint::for_stdout()))?,
    }
    if has_secrets && matches!(secrets, Secrets::Said) {
        output::talk("the secrets are shown this once: give them to the receivers now");
    }
    Ok(())
}

fn count(plan: &Plan, is_meant: impl Fn(&Action) -> bool) -> usize {
    plan.steps
        .iter()
        .filter(|step| is_meant(&step.action))
        .count()
}

fn counts(plan: &Plan) -> [usize; 3] {
    [
        count(plan, |action| matches!(action, Action::Create(_))),
        count(plan, |action| matches!(action, Action::Change(_))),
        count(plan, |action| matches!(action, Action::Delete)),
    ]
}

fn document(plan: &Plan, is_dry: bool, secrets: &Secrets) -> serde_json::Value {
    let [created, changed, deleted] = counts(plan);
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| Told {
            action: match step.action {
                Action::Create(_) => "create",
                Action::Change(_) => "change",
                Action::Delete => "delete",
            },
            tenant: step.key.tenant(),
            id: step.key.id(),
            revision: step.revision,
            place: step.written().map(|written| &written.place),
            differences: step.written().map_or(&[], |written| &written.differences),
            made: match secrets {
                Secrets::Said => step.written().and_then(Made::of),
                Secrets::Unsaid => None,
            },
        })
        .collect();
    json!({
        "dry_run": is_dry, "create": created, "change": changed, "delete": deleted,
        "unchanged": plan.unchanged, "steps": steps,
    })
}

fn text(plan: &Plan, is_dry: bool, secrets: &Secrets, paint: &Paint) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let key = &step.key;
        let (sign, color) = match &step.action {
            Action::Create(_) => ('+', GREEN),
            Action::Change(_) => ('~', YELLOW),
            Action::Delete => ('-', RED),
        };
        let place = step
            .written()
            .map_or(String::new(), |written| format!("  {}", written.place));
        let head = paint.colored(color, &format!("{sign} {key}"));
        line(&mut text, &format!("{head}{}", plain(&place)));
        if let Action::Change(written) = &step.action {
            for difference in &written.differences {
                line(&mut text, &told(difference, paint));
            }
        }
    }
    let [created, changed, deleted] = counts(plan);
    let verbs = match is_dry {
        true => ["to create", "to change", "to delete"],
        false => ["created", "changed", "deleted"],
    };
    let counted: Vec<_> = [created, changed, deleted]
        .iter()
        .zip(verbs)
        .map(|(count, verb)| format!("{count} {verb}"))
        .collect();
    line(
        &mut text,
        &format!("{}, {} unchanged", counted.join(", "), plan.unchanged),
    );
    if matches!(secrets, Secrets::Said) {
        for step in &plan.steps {
            let Some(made) = step.written().and_then(Made::of) else {
                continue;
            };
            for made in made.secret.iter().chain(&made.public_key) {
                line(&mut text, &format!("{}  {made}", step.key));
            }
        }
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn told(difference: &Difference, paint: &Paint) -> String {
    let Difference { member, old, new } = difference;
    let shown = |side: &RawValue| {
        let mut shown: String = side.get().chars().take(LONGEST).collect();
        if shown.len() < side.get().len() {
            shown.push('…');
        }
        plain(&shown)
    };
    let told = match (old.as_deref(), new.as_deref()) {
        (Some(old), Some(new)) if old.get() == new.get() => "changed, not shown".to_owned(),
        (Some(old), Some(new)) => format!("{} -> {}", shown(old), shown(new)),
        (None, Some(new)) => paint.colored(GREEN, &format!("+ {}", shown(new))),
        (Some(old), None) => paint.colored(RED, &format!("- {}", shown(old))),
        (None, None) => String::new(),
    };
    format!("    {}  {told}", plain(member))
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Colors, where somebody sees them.
struct Paint(bool);

impl Paint {
    /// On a terminal, unless <https://no-color.org> is asked for.
    fn for_stdout() -> Self {
        let is_asked_for =
            |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(io::stdout().is_terminal() && !is_asked_for("NO_COLOR") && !is_dumb)
    }

    fn colored(&self, color: &str, text: &str) -> String {
        match self.0 {
            true => format!("\u{1b}[{color}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// Writes the secrets that were made to a new file, one JSON object a line, before anything depends on
/// them. Without any there is no file.
pub(super) fn keep(plan: &Plan, path: &Path) -> anyhow::Result<()> {
    let mut lines = String::new();
    for step in &plan.steps {
        if let Some(made) = step.written().and_then(Made::of) {
            let Made { secret, public_key } = made;
            let (tenant, id) = (step.key.tenant(), step.key.id());
            let object = json!({
                "tenant": tenant, "id": id, "secret": secret, "public_key": public_key,
            });
            writeln!(lines, "{object}").context("no line")?;
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let cannot = || {
        format!(
            "cannot write {}: nothing is written to the topic",
            path.display()
        )
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).with_context(cannot)?;
    file.write_all(lines.as_bytes()).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    output::talk(&format!("generated secrets are in {}", path.display()));
    Ok(())
}
