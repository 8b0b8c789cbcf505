//! Pages: what they hold, and what must not be in them.

use super::{PageData, Table, Verdict, page};

fn sample() -> PageData {
    PageData {
        title: "one <site> & \"more\"".to_owned(),
        about: "What <b>happens</b>".to_owned(),
        seed: 7,
        nodes: 1000,
        verdict: Verdict::Failed,
        hash: 0xabc,
        counters: vec![("answered".to_owned(), 1_234_567, "requests <i>answered</i>".to_owned())],
        violations: vec!["I3 at <1 s>\n  0.9 <line>\n  1.0 line".to_owned(), "a bound".to_owned()],
        charts: vec!["<svg></svg>\n".to_owned()],
        tables: vec![Table {
            title: "<t>".to_owned(),
            head: vec!["<name>".to_owned(), "p99".to_owned()],
            rows: vec![vec!["<bound>".to_owned(), "3 s".to_owned()]],
        }],
    }
}

#[test]
fn all_text_is_escaped_and_charts_are_not() {
    let html = page(&sample());
    for raw in ["<site>", "<b>", "<i>", "<1 s>", "<line>", "<t>", "<name>", "<bound>"] {
        assert!(!html.contains(raw), "{raw}");
    }
    assert!(html.contains("one &lt;site&gt; &amp; &quot;more&quot;") && html.contains("<figure><svg></svg></figure>"));
    assert!(html.contains("1\u{202f}234\u{202f}567") && html.contains("0000000000000abc"));
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let html = page(&sample());
    for word in ["<script", "http://", "https://", "@import", "url(", "<link", "<img"] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn a_finding_stands_in_the_open_and_its_trace_below_it() {
    let html = page(&sample());
    assert!(
        html.contains("<details open><summary>I3 at &lt;1 s&gt;</summary><pre>  0.9 &lt;line&gt;\n  1.0 line</pre>")
    );
    assert!(html.contains("<details><summary>a bound</summary></details>"));
    assert!(html.contains("class=\"verdict failed\">failed<"));
}

#[test]
fn an_empty_page_is_a_page() {
    let html = page(&PageData::default());
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n") && html.contains(">passed<"));
    assert!(!html.contains("<table") && !html.contains("<figure"));
}
