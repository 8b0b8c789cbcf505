//! A run as one HTML page that needs nothing else: no script, no font, no picture from elsewhere. It reads by day and
//! by night, on a telephone and on paper. All text is escaped; only charts go in as they are.

use std::fmt::Write as _;

use crate::plot::escaped;

#[cfg(test)]
mod tests;

/// What a page shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageData {
    /// The scenario.
    pub title: String,
    /// What it is about.
    pub about: String,
    pub seed: u64,
    pub nodes: u64,
    pub verdict: Verdict,
    /// The hash of the trace.
    pub hash: u64,
    /// Name, count, and what it counts.
    pub counters: Vec<(String, u64, String)>,
    /// Bounds that were not kept, and violations: the first line is the finding, the others the trace before it.
    pub violations: Vec<String>,
    /// Each the text of an `svg` element, from `plot`.
    pub charts: Vec<String>,
    pub tables: Vec<Table>,
}

/// Whether a run was as it should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    #[default]
    Passed,
    Failed,
}

/// A table of a page. A column of numbers is set to the right.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub title: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

const STYLE: &str = "
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#1f2430;--muted:#5b6472;--line:#e1e5ea;--good:#00734f;--bad:#b3400a;--good-card:#e3f4ec;--bad-card:#fcebe1}
@media(prefers-color-scheme:dark){:root{--page:#14171c;--card:#1d2128;--ink:#e7eaef;--muted:#9aa4b2;--line:#303641;--good:#5fd3a5;--bad:#ff9d66;--good-card:#123227;--bad-card:#3a2214}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif}
main{max-width:1720px;margin:0 auto;padding:36px 28px 48px}
h1{font-size:28px;line-height:1.2;margin:0;letter-spacing:-.01em}
h2{font-size:17px;margin:40px 0 12px}
p{margin:6px 0 0;max-width:72ch}
.about,footer,th,td.why{color:var(--muted)}
.head{display:flex;flex-wrap:wrap;gap:10px 16px;align-items:center}
.verdict{font-size:13px;font-weight:650;border-radius:99px;padding:3px 13px;color:var(--good);background:var(--good-card)}
.verdict.failed{color:var(--bad);background:var(--bad-card)}
dl{display:flex;flex-wrap:wrap;gap:14px 44px;margin:22px 0 0}
dt{font-size:12.5px;color:var(--muted)}
dd{margin:0;font-size:18px;font-variant-numeric:tabular-nums}
dd.hash,pre{font-family:ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace}
dd.hash{font-size:15px;line-height:1.85}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:20px;margin-top:28px}
figure{margin:0;background:#fff;border:1px solid var(--line);border-radius:10px;overflow:hidden;max-width:860px}
figure svg{display:block;width:100%;height:auto}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:7px 16px;vertical-align:top}
th{font-weight:550;font-size:12.5px;border-bottom:1px solid var(--line)}
tr+tr td{border-top:1px solid var(--line)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.name{white-space:nowrap}
details{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--bad);border-radius:10px;margin-top:10px;padding:10px 16px}
summary{cursor:pointer;font-weight:550}
pre{font-size:12.5px;line-height:1.5;overflow-x:auto;margin:10px 0 2px}
footer{margin-top:44px;font-size:13px}
@media print{body{background:#fff}.charts,figure,.wide,details{break-inside:avoid}}
";

/// The page.
pub(crate) fn page(report: &PageData) -> String {
    let title = escaped(&report.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title} · seed {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        report.seed
    );
    out += &head(report, &title);
    out += &violations(&report.violations);
    if !report.charts.is_empty() {
        out += "<div class=\"charts\">\n";
        for chart in &report.charts {
            let _ = writeln!(out, "<figure>{}</figure>", chart.trim_end());
        }
        out += "</div>\n";
    }
    report.tables.iter().for_each(|shown| out += &table(shown));
    out += &counters(&report.counters);
    let _ = write!(
        out,
        "<footer>The same scenario, seed and program give the same trace, to the last line: \
         <code>{:016x}</code>. All times are virtual.</footer>\n</main>\n</body>\n</html>\n",
        report.hash
    );
    out
}

fn head(report: &PageData, title: &str) -> String {
    let (class, verdict) = match report.verdict {
        Verdict::Passed => ("verdict", "passed"),
        Verdict::Failed => ("verdict failed", "failed"),
    };
    let fact = |name: &str, class: &str, value: &str| format!("<div><dt>{name}</dt><dd{class}>{value}</dd></div>\n");
    let facts = [
        fact("seed", "", &report.seed.to_string()),
        fact("nodes", "", &grouped(report.nodes)),
        fact("findings", "", &report.violations.len().to_string()),
        fact("trace", " class=\"hash\"", &format!("{:016x}", report.hash)),
    ];
    format!(
        "<header>\n<div class=\"head\"><h1>{title}</h1><span class=\"{class}\">{verdict}</span></div>\n\
         <p class=\"about\">{}</p>\n<dl>\n{}</dl>\n</header>\n",
        escaped(&report.about),
        facts.concat()
    )
}

fn violations(violations: &[String]) -> String {
    if violations.is_empty() {
        return String::new();
    }
    let mut out = "<section>\n<h2>What went against the rules</h2>\n".to_owned();
    for (index, violation) in violations.iter().enumerate() {
        let (first, trace) = violation.split_once('\n').unwrap_or((violation, ""));
        let open = if index == 0 { " open" } else { "" };
        let _ = write!(out, "<details{open}><summary>{}</summary>", escaped(first));
        if !trace.trim().is_empty() {
            let _ = write!(out, "<pre>{}</pre>", escaped(trace.trim_end()));
        }
        out += "</details>\n";
    }
    out + "</section>\n"
}

fn counters(counters: &[(String, u64, String)]) -> String {
    if counters.is_empty() {
        return String::new();
    }
    let mut out = "<section>\n<h2>Counters</h2>\n<div class=\"wide\"><table>\n\
                   <tr><th>counter</th><th class=\"number\">count</th><th>what it counts</th></tr>\n"
        .to_owned();
    for (name, count, text) in counters {
        let _ = writeln!(
            out,
            "<tr><td class=\"name\">{}</td><td class=\"number\">{}</td><td class=\"why\">{}</td></tr>",
            escaped(name),
            grouped(*count),
            escaped(text)
        );
    }
    out + "</table></div>\n</section>\n"
}

fn table(shown: &Table) -> String {
    let is_number = |column: usize| {
        let mut cells = shown.rows.iter().filter_map(|row| row.get(column)).peekable();
        cells.peek().is_some()
            && cells.all(|cell| cell.starts_with(|first: char| first.is_ascii_digit() || "−-–".contains(first)))
    };
    let class = |column| if is_number(column) { " class=\"number\"" } else { "" };
    let classes: Vec<_> = (0..shown.head.len()).map(class).collect();
    let cells = |tag: &str, row: &[String]| -> String {
        let cell = |(column, cell): (usize, &String)| {
            format!("<{tag}{}>{}</{tag}>", classes.get(column).copied().unwrap_or_default(), escaped(cell))
        };
        format!("<tr>{}</tr>\n", row.iter().enumerate().map(cell).collect::<String>())
    };
    let rows: String = shown.rows.iter().map(|row| cells("td", row)).collect();
    format!(
        "<section>\n<h2>{}</h2>\n<div class=\"wide\"><table>\n{}{rows}</table></div>\n</section>\n",
        escaped(&shown.title),
        cells("th", &shown.head)
    )
}

/// A count with thin spaces between thousands.
fn grouped(count: u64) -> String {
    let plain = count.to_string();
    let mut out = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}
