//! The part of a page that a program writes: it lies between two lines, and what stands outside of them is
//! written by hand and stays.

/// A page with this between its markers; none if it has none.
pub fn with_part(page: &str, markers: [&str; 2], part: &str) -> Option<String> {
    let [start, end] = markers;
    let (before, rest) = page.split_once(start)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!(
        "{before}{start}\n\n{}\n\n{end}{after}",
        part.trim()
    ))
}
