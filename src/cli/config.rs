//! `hooktide config`.

use super::{Failure, Output, output};
use crate::config::Config;

/// Prints every setting as a line of TOML with its origin, or all as JSON.
pub(super) fn show(config: &Config, format: Output) -> Result<(), Failure> {
    let settings = config.settings();
    match format {
        Output::Json => output::json(&settings)?,
        Output::Text => {
            let lines: String = settings
                .iter()
                .map(|setting| {
                    format!(
                        "{} = {}  # {}\n",
                        setting.key, setting.value, setting.origin
                    )
                })
                .collect();
            output::data(&lines)?;
        }
    }
    Ok(())
}
