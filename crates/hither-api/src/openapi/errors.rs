//! The page of all codes: each has its own anchor, which `type` of a problem names.

use crate::errors::all;

/// The page.
pub(super) fn page() -> String {
    let rows: String = all()
        .iter()
        .map(|entry| {
            let (code, status) = (entry.code, entry.status);
            let (title, remedy) = (escaped(entry.summary()), escaped(entry.remedy));
            format!(
                "<tr id=\"{code}\"><th scope=\"row\"><a href=\"#{code}\">{code}</a></th><td>{status}</td>\
                 <td>{title}.</td><td>{remedy}</td></tr>\n"
            )
        })
        .collect();
    include_str!("../../docs/errors.html").replace("<!-- rows -->\n", &rows)
}

/// Text as HTML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
