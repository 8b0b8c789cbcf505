//! Forms of reports.

use super::document::Document;
use super::forms::{csv, html};
use super::moment;
use super::tables::Table;

fn table() -> Table {
    let rows =
        vec![vec!["a <b> & \"c\"".to_owned(), "12".to_owned()], vec!["=HYPERLINK(1)".to_owned(), "x, y".to_owned()]];
    Table { name: "t", title: "T", note: "N", columns: &["one", "two"], rows }
}

#[test]
fn a_page_says_what_it_was_given_and_runs_nothing() {
    let page = html(&Document { title: "What <is>", lead: vec!["L & M".to_owned()], tables: vec![table()] });
    assert!(page.contains("<h1>What &lt;is&gt;</h1>") && page.contains("<p>L &amp; M</p>"), "{page}");
    assert!(page.contains("<td class=\"s\">a &lt;b&gt; &amp; &quot;c&quot;</td><td class=\"n\">12</td>"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http"), "{page}");
}

#[test]
fn a_moment_stays_whole_and_a_column_without_an_entry_is_left_out() {
    let cells = ["2026-11-29T12:30:05.123Z", "", "on or before 2026-11-29T12:30:05.123Z", "2026T<b>Z"];
    let rows = vec![cells.map(str::to_owned).to_vec()];
    let columns = &["when", "relay", "first", "else"];
    let page = html(&Document { title: "T", lead: vec![], tables: vec![Table { columns, rows, ..table() }] });
    let whole = "<span>2026-11-29</span> <span>12:30:05</span></td>";
    assert!(
        page.contains(&format!("<td>{whole}<td>on or before {whole}<td class=\"s\">2026T&lt;b&gt;Z</td>")),
        "{page}"
    );
    assert!(!page.contains("relay"), "{page}");
}

#[test]
fn a_cell_is_no_formula_and_keeps_its_commas() {
    assert_eq!(csv(&table()), "one,two\r\n\"a <b> & \"\"c\"\"\",12\r\n'=HYPERLINK(1),\"x, y\"\r\n");
}

#[test]
fn a_moment_is_the_beginning_of_a_time() {
    for (good, full) in [
        ("2026", "2026-01-01T00:00:00.000"),
        ("2026-11", "2026-11-01T00:00:00.000"),
        ("2026-11-29", "2026-11-29T00:00:00.000"),
        ("2026-11-29T12", "2026-11-29T12:00:00.000"),
        ("2026-11-29T12:30:05.123Z", "2026-11-29T12:30:05.123"),
    ] {
        assert_eq!(moment(good).as_deref(), Ok(full));
    }
    let wrong = ["2026-1", "2026-13", "2026-00", "2026-11-32", "2026-11-29T24", "2026-11-29 12:00", "2026/11"];
    for bad in ["", "26", "yesterday", "2026-11-29T12:00:00+01:00"].into_iter().chain(wrong) {
        assert!(moment(bad).is_err(), "{bad}");
    }
}
