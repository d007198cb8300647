//! Plots as SVG: plain shapes and text, so that a difference between two runs can be read.

/// What a plot's colours stand for.
pub mod colour {
    /// Hooktide.
    pub const OURS: &str = "#2563eb";
    /// The broker.
    pub const BROKER: &str = "#94a3b8";
    /// Another program.
    pub const PEER: &str = "#d97706";
    /// The bare loop.
    pub const BARE: &str = "#111827";
}

const WIDTH: f64 = 760.0;
/// Where bars begin.
const LEFT: f64 = 230.0;
/// Where the longest ends; its number stands behind it.
const RIGHT: f64 = 660.0;
const ROW: f64 = 26.0;
const TOP: f64 = 64.0;

/// A bar of one or more parts.
pub struct Bar {
    /// What it is.
    pub label: String,
    /// How long each part is, and its colour.
    pub parts: Vec<(f64, &'static str)>,
    /// A stroke beside it: what the bare loop has.
    pub mark: Option<f64>,
    /// What stands behind it.
    pub note: String,
}

/// Bars from the left. `legend` names colours.
pub fn bars(title: &str, legend: &[(&str, &str)], bars: &[Bar]) -> String {
    let length = |bar: &Bar| bar.parts.iter().map(|(part, _)| part).sum::<f64>();
    let lengths = bars.iter().map(length);
    let longest = lengths.chain(bars.iter().filter_map(|it| it.mark));
    let scale = (RIGHT - LEFT) / or_one(longest.fold(0.0, f64::max));
    let mut svg = open(title, legend, TOP + ROW * bars.len() as f64 + 12.0);
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        text(&mut svg, LEFT - 8.0, y + 14.0, "end", &bar.label);
        let mut x = LEFT;
        for (part, colour) in &bar.parts {
            let width = part * scale;
            line(
                &mut svg,
                format_args!(
                    r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="18" fill="{colour}"/>"#
                ),
            );
            x += width;
        }
        let mut end = x;
        if let Some(mark) = bar.mark {
            let at = LEFT + mark * scale;
            end = end.max(at);
            line(
                &mut svg,
                format_args!(
                    r#"<rect x="{at:.1}" y="{:.1}" width="2.5" height="22" fill="{}"/>"#,
                    y - 2.0,
                    colour::BARE
                ),
            );
        }
        text(&mut svg, end + 8.0, y + 14.0, "start", &bar.note);
    }
    close(svg)
}

/// A curve.
pub struct Curve {
    /// Its colour; the legend says what it is.
    pub colour: &'static str,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// Curves over an axis from 0 to `width`; heights from 0.
pub fn curves(
    title: &str,
    legend: &[(&str, &str)],
    (width, below): (f64, &str),
    curves: &[Curve],
) -> String {
    const HEIGHT: f64 = 220.0;
    const START: f64 = 70.0;
    let points = curves.iter().flat_map(|it| &it.points);
    let highest = or_one(points.map(|(_, y)| *y).fold(0.0, f64::max));
    let across = (WIDTH - START - 20.0) / or_one(width);
    let bottom = TOP + HEIGHT;
    let mut svg = open(title, legend, bottom + 44.0);
    for part in [0.0, 0.5, 1.0] {
        let y = bottom - HEIGHT * part;
        line(
            &mut svg,
            format_args!(
                r##"<path d="M{START} {y:.1}H{:.1}" stroke="#e5e7eb"/>"##,
                WIDTH - 20.0
            ),
        );
        let number = format!("{:.0}", highest * part);
        text(&mut svg, START - 6.0, y + 4.0, "end", &number);
        let number = format!("{:.0}", width * part);
        text(
            &mut svg,
            START + width * part * across,
            bottom + 18.0,
            "middle",
            &number,
        );
    }
    text(
        &mut svg,
        (START + WIDTH) / 2.0,
        bottom + 36.0,
        "middle",
        below,
    );
    for curve in curves {
        let mut path = String::new();
        for (x, y) in &curve.points {
            let step = if path.is_empty() { 'M' } else { 'L' };
            let (x, y) = (START + x * across, bottom - y / highest * HEIGHT);
            push(&mut path, format_args!("{step}{x:.1} {y:.1}"));
        }
        line(
            &mut svg,
            format_args!(
                r#"<path d="{path}" fill="none" stroke="{}" stroke-width="2"/>"#,
                curve.colour
            ),
        );
    }
    close(svg)
}

fn open(title: &str, legend: &[(&str, &str)], height: f64) -> String {
    let mut svg = String::new();
    line(
        &mut svg,
        format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" font-family="sans-serif" font-size="13">"#
        ),
    );
    line(
        &mut svg,
        format_args!(r#"<rect width="100%" height="100%" fill="white"/>"#),
    );
    line(
        &mut svg,
        format_args!(
            r#"<text x="16" y="24" font-size="15" font-weight="bold">{}</text>"#,
            escaped(title)
        ),
    );
    let mut x = 16.0;
    for (colour, name) in legend {
        line(
            &mut svg,
            format_args!(r#"<rect x="{x:.1}" y="36" width="12" height="12" fill="{colour}"/>"#),
        );
        text(&mut svg, x + 17.0, 47.0, "start", name);
        x += 34.0 + 7.2 * name.chars().count() as f64;
    }
    svg
}

fn close(mut svg: String) -> String {
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = escaped(words);
    line(
        svg,
        format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#),
    );
}

/// What can be divided by, where nothing is measured.
fn or_one(length: f64) -> f64 {
    if length > 0.0 { length } else { 1.0 }
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;")
}

fn line(svg: &mut String, words: std::fmt::Arguments<'_>) {
    push(svg, words);
    svg.push('\n');
}

fn push(to: &mut String, words: std::fmt::Arguments<'_>) {
    to.push_str(&words.to_string());
}
