//! What is said before the show: what this is, what it does not prove, how to take part.

use std::net::SocketAddr;
use std::path::Path;

use super::demo::SUBSCRIBERS;
use super::stage::Stage;
use crate::receiver::YOURS;

/// The text, without a line's end. `program` is how this program is called.
pub fn head(stage: &Stage, program: &Path, receiver: SocketAddr, chaos: bool) -> String {
    let servers = &stage.installation.config.kafka.bootstrap_servers;
    let mut lines = vec![
        "hooktide dev: events come in on Kafka, webhooks go out over HTTP; what fails is retried, and".to_owned(),
        "what keeps failing is dead-lettered. Totals are counted from the topics.".to_owned(),
        String::new(),
    ];
    let mut say = |text: String| lines.push(text);
    if stage.is_mock() {
        say(format!(
            "Kafka      {servers}, a mock broker inside this process: nothing is installed"
        ));
        say("           The mock cannot prove durability: no real transactions, little retention, and it".to_owned());
        say("           ends with this process. A real Kafka can: hooktide dev --bootstrap HOST:PORT [--chaos]".to_owned());
    } else {
        let id = &stage.installation.config.application_id;
        say(format!(
            "Kafka      {servers}; topics {id}* are made now and removed at the end"
        ));
    }
    if chaos {
        say("Chaos      two dispatchers run as processes of their own; every few seconds one is killed (-9)".to_owned());
    }
    say(format!("Endpoints  http://{receiver}/..."));
    for subscriber in SUBSCRIBERS {
        say(format!(
            "           {:<15} {:<14} {}; retried after {}",
            subscriber.key(),
            subscriber.events.join(", "),
            subscriber.behaves,
            subscriber.schedule.join(", "),
        ));
    }
    let mut program = quoted(&program.to_string_lossy());
    if let Some(file) = &stage.installation.config_file {
        program.push_str(&format!(" --config {}", quoted(&file.to_string_lossy())));
    }
    let assigned = |variables: Vec<(&str, &str)>| -> String {
        let variables = variables.iter();
        variables
            .map(|(name, value)| format!("{name}={} ", quoted(value)))
            .collect()
    };
    let address = assigned(stage.address());
    let permission = assigned(stage.permission());
    say(String::new());
    say(
        "Take part from a second terminal (the URL can be one of yours on this machine):"
            .to_owned(),
    );
    say(format!(
        "  echo '{{\"url\":\"http://{receiver}/{YOURS}\",\"events\":[\"*\"]}}' | {address}{permission}{program} subscriptions put - --id mine"
    ));
    say(format!(
        "  echo '{{\"type\":\"hello.world\",\"data\":{{}}}}' | {address}{program} events produce --topic {} -",
        stage.installation.events
    ));
    say("Ctrl-C ends it.".to_owned());
    say(String::new());
    lines.join("\n")
}

/// For a shell: as it is where that is safe.
fn quoted(text: &str) -> String {
    let is_safe = |char: char| char.is_ascii_alphanumeric() || "/._-:,=".contains(char);
    if !text.is_empty() && text.chars().all(is_safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_take_texts_as_they_are() {
        fn check(text: &str, expected: &str) {
            assert_eq!(quoted(text), expected);
        }
        check("target/release/hooktide", "target/release/hooktide");
        check("127.0.0.1:9092,b:1", "127.0.0.1:9092,b:1");
        check("", "''");
        check("a b", "'a b'");
        check("it's $HOME", r"'it'\''s $HOME'");
    }

    #[test]
    fn the_mock_says_what_it_cannot_prove_and_how_to_take_part() {
        let stage = Stage::mock().unwrap();
        let head = head(
            &stage,
            Path::new("hooktide"),
            ([127, 0, 0, 1], 80).into(),
            false,
        );
        let servers = &stage.installation.config.kafka.bootstrap_servers;
        for part in [
            "cannot prove durability",
            "no real transactions",
            "--bootstrap HOST:PORT",
            &format!(
                "| HOOKTIDE__KAFKA__BOOTSTRAP_SERVERS={servers} HOOKTIDE__HTTP__ALLOW_NETWORKS='[\"127.0.0.0/8\", \"::1/128\"]' hooktide subscriptions put - --id mine"
            ),
            &format!(
                "| HOOKTIDE__KAFKA__BOOTSTRAP_SERVERS={servers} hooktide events produce --topic events -"
            ),
        ] {
            assert!(head.contains(part), "{part}\n{head}");
        }
        for subscriber in SUBSCRIBERS {
            assert!(head.contains(&subscriber.key()));
        }
    }
}
