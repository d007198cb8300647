//! How far a command is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// From so many on it is shown.
const MANY: u64 = 2_000;

/// Shown on a terminal only, and only for many.
pub(super) fn bar(total: Option<u64>) -> ProgressBar {
    match total {
        Some(total) if total >= MANY => {
            let style =
                ProgressStyle::with_template("{bar:40} {human_pos}/{human_len}, {eta} left");
            let bar = ProgressBar::new(total);
            bar.enable_steady_tick(Duration::from_millis(200));
            match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        }
        Some(_) | None => ProgressBar::hidden(),
    }
}
