//! A report as text, HTML, CSV or JSON.

use serde_json::{Map, Value, json};

use super::document::Document;
use super::tables::{OR_BEFORE, Table};
use crate::output::{Colour, plain};

/// The longest part of a cell that is never broken.
const PART_MAX: usize = 16;

/// The widest line of the text around tables.
const COLUMNS: usize = 100;

/// For the screen.
pub(super) fn text(document: &Document, colour: Colour) -> String {
    let mut out = format!("{}\n", colour.bold(document.title));
    for paragraph in &document.lead {
        out.push_str(&format!("\n{}", broken(paragraph)));
    }
    for Table { name, title, note, columns, rows } in &document.tables {
        out.push_str(&format!("\n{} [{name}]\n", colour.bold(title)));
        if rows.is_empty() {
            out.push_str("  nothing\n");
            continue;
        }
        out.push_str(&colour.faint(&broken(note)));
        for row in rows {
            // Wide tables are of no use on a screen: one line for each row, what is empty left out.
            let cells = columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            let cells: Vec<String> = cells.map(|(column, cell)| format!("{column} {}", plain(cell))).collect();
            out.push_str(&format!("  {}\n", cells.join("; ")));
        }
    }
    out
}

fn broken(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let long = word.chars().count();
        if width > 0 && width + 1 + long > COLUMNS {
            out.push('\n');
            width = 0;
        }
        if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += long;
    }
    out.push('\n');
    out
}

/// For a program: each table a list of objects.
pub(super) fn object(document: &Document) -> Value {
    let table = |table: &Table| {
        let row = |row: &Vec<String>| {
            let cells = table.columns.iter().zip(row);
            Value::Object(cells.map(|(column, cell)| (column.replace(' ', "_"), json!(cell))).collect::<Map<_, _>>())
        };
        (table.name.to_owned(), Value::Array(table.rows.iter().map(row).collect()))
    };
    let tables: Map<String, Value> = document.tables.iter().map(table).collect();
    json!({"title": document.title, "lead": document.lead, "tables": tables})
}

/// One table as RFC 4180 has it. A cell that a spreadsheet would take for a formula gets an apostrophe.
pub(super) fn csv(table: &Table) -> String {
    let cell = |cell: &str| {
        let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        match cell.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{guard}{}\"", cell.replace('"', "\"\"")),
            false => format!("{guard}{cell}"),
        }
    };
    let head = table.columns.iter().map(|column| cell(column)).collect::<Vec<_>>().join(",");
    let rows = table.rows.iter().map(|row| row.iter().map(|text| cell(text)).collect::<Vec<_>>().join(","));
    std::iter::once(head).chain(rows).map(|line| format!("{line}\r\n")).collect()
}

/// One page without scripts and without anything from elsewhere.
pub(super) fn html(document: &Document) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>{0}</h1>\n",
        escaped(document.title)
    );
    for paragraph in &document.lead {
        out.push_str(&format!("<p>{}</p>\n", escaped(paragraph)));
    }
    for table in &document.tables {
        // A short table stays on one sheet, together with its head.
        let short = if table.rows.len() <= 15 { " class=\"short\"" } else { "" };
        out.push_str(&format!("<section id=\"{}\"{short}>\n<h2>{}</h2>\n", table.name, escaped(table.title)));
        if table.rows.is_empty() {
            out.push_str("<p>Nothing.</p>\n</section>\n");
            continue;
        }
        out.push_str(&format!("<p>{}</p>\n<table>\n<thead><tr>", escaped(table.note)));
        // Paper is not wide: a column without an entry is left out, as it is on the screen.
        let has_entry = |at: &usize| table.rows.iter().any(|row| row.get(*at).is_some_and(|cell| !cell.is_empty()));
        let columns: Vec<usize> = (0..table.columns.len()).filter(has_entry).collect();
        for at in &columns {
            let class = table.rows.first().and_then(|row| row.get(*at)).map_or("", |cell| class(cell));
            out.push_str(&format!("<th{class}>{}</th>", escaped(table.columns[*at])));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in &table.rows {
            out.push_str("<tr>");
            for cell in columns.iter().filter_map(|at| row.get(*at)) {
                out.push_str(&format!("<td{}>{}</td>", class(cell), moment(cell).unwrap_or_else(|| escaped(cell))));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table>\n</section>\n");
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// Numbers stand to the right, they and short words stay whole, and what has no place to break for long may be broken
/// anywhere: a sheet is not wider for it.
fn class(cell: &str) -> &'static str {
    let number = !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit() || c == '.');
    match cell.len() {
        _ if number => " class=\"n\"",
        0..=12 => " class=\"s\"",
        _ if cell.split([' ', '-']).any(|part| part.len() > PART_MAX) => " class=\"l\"",
        _ => "",
    }
}

/// A moment as people write it, whose day and time stay whole; the other forms have it to the millisecond. `None`: it is none.
fn moment(cell: &str) -> Option<String> {
    let (before, moment) = cell.split_at(if cell.starts_with(OR_BEFORE) { OR_BEFORE.len() } else { 0 });
    let (day, time) = moment.strip_suffix('Z')?.split_once('T')?;
    let is_one = day.len() == 10 && time.len() == 12 && time.is_ascii();
    is_one.then(|| format!("{before}<span>{}</span> <span>{}</span>", escaped(day), escaped(&time[..8])))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

const STYLE: &str = "
@page { size: A4 landscape; margin: 14mm; }
body { font: 10pt/1.45 system-ui, sans-serif; color: #111; background: #fff; max-width: 270mm; margin: 8mm auto; padding: 0 4mm; }
h1 { font-size: 17pt; margin: 0 0 3mm; }
h2 { font-size: 12pt; margin: 7mm 0 1mm; break-after: avoid; }
p { max-width: 190mm; margin: 0 0 2.5mm; }
.short { break-inside: avoid; }
section p { color: #444; break-after: avoid; }
table { border-collapse: collapse; width: 100%; font-size: 7.5pt; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th, td { text-align: left; vertical-align: top; padding: 0.8mm 1.2mm; border-bottom: 0.2mm solid #bbb; }
th { border-bottom: 0.4mm solid #111; font-weight: 600; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
td.l { overflow-wrap: anywhere; }
.n, td.s, td span { white-space: nowrap; }
";
