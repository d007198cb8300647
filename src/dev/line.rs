//! A line of the show, and the screen that it goes to.

use std::io::{self, Write};
use std::time::Duration;

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Something happened.
    Plain,
    /// It went well.
    Good,
    /// It did not, and is tried again.
    Later,
    /// It did not, and that was it.
    Bad,
    /// Worth a second look.
    Loud,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Since the show began.
    pub at: Duration,
    /// What kind of thing.
    pub label: &'static str,
    /// What happened.
    pub text: String,
    /// How it is meant.
    pub mood: Mood,
}

impl Mood {
    /// The escape sequence that begins its colour.
    const fn colour(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Later => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Loud => "\x1b[1m",
        }
    }
}

impl Line {
    /// As it is written, without a line's end. Texts come from events and endpoints: what would
    /// control the terminal is replaced.
    pub fn render(&self, colours: bool) -> String {
        let tame = |char: char| if char.is_control() { '\u{fffd}' } else { char };
        let text: String = self.text.chars().map(tame).collect();
        let seconds = self.at.as_secs_f64();
        let label = self.label;
        if colours {
            let colour = self.mood.colour();
            format!("\x1b[2m{seconds:6.1}s\x1b[0m  {colour}{label:<8}  {text}\x1b[0m")
        } else {
            format!("{seconds:6.1}s  {label:<8}  {text}")
        }
    }
}

/// Where lines go.
pub struct Screen {
    out: Box<dyn Write>,
    colours: bool,
    is_closed: bool,
}

impl Screen {
    /// Writes to `out`, with colours or without.
    pub fn new(out: Box<dyn Write>, colours: bool) -> Self {
        Self {
            out,
            colours,
            is_closed: false,
        }
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Writes a line of the show.
    pub fn show(&mut self, line: &Line) {
        self.write(&line.render(self.colours));
    }

    /// Writes text of our own as it is.
    pub fn write(&mut self, text: &str) {
        let written: io::Result<()> = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        self.is_closed |= written.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_plain_or_coloured_and_never_foreign() {
        fn check(text: &str, mood: Mood, colours: bool, expected: &str) {
            let line = Line {
                at: Duration::from_millis(12_345),
                label: "request",
                text: text.to_owned(),
                mood,
            };
            assert_eq!(line.render(colours), expected);
        }
        check("a → b", Mood::Good, false, "  12.3s  request   a → b");
        check(
            "a",
            Mood::Bad,
            true,
            "\x1b[2m  12.3s\x1b[0m  \x1b[31mrequest   a\x1b[0m",
        );
        check(
            "\x1b[2Jx\r\n",
            Mood::Plain,
            false,
            "  12.3s  request   \u{fffd}[2Jx\u{fffd}\u{fffd}",
        );
    }
}
