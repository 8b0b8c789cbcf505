//! What the demo prints while it plays.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Colour, line, plain};

/// The stage.
pub(super) struct Show {
    colour: Colour,
    attended: bool,
}

impl Show {
    /// With a person in front of it or not.
    pub(super) fn new(attended: bool) -> Self {
        Self { colour: Colour::of_stdout(), attended }
    }

    /// The first words.
    pub(super) fn title(&self, text: &str) {
        line(&self.colour.bold(text));
    }

    /// A step begins.
    pub(super) fn step(&self, number: u8, text: &str) {
        line("");
        line(&self.colour.bold(&format!(" {number}/6  {text}")));
    }

    /// Something holds.
    pub(super) fn good(&self, text: &str) {
        line(&format!("   {} {text}", self.colour.green("✓")));
    }

    /// Something does not.
    pub(super) fn bad(&self, text: &str) {
        line(&format!("   {} {text}", self.colour.red("✗")));
    }

    /// A line of detail.
    pub(super) fn note(&self, text: &str) {
        line(&format!("     {text}"));
    }

    /// What a model said.
    pub(super) fn quote(&self, text: &str) {
        let one_line = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
        line(&format!("     {}", self.colour.faint(&format!("“{}”", cut(&one_line, 160)))));
    }

    /// The end of a node's log.
    pub(super) fn log(&self, site: &str, tail: &str) {
        line(&self.colour.faint(&format!("   ── the end of {site}'s log")));
        tail.lines().for_each(|text| line(&self.colour.faint(&format!("   {}", plain(text)))));
    }

    /// A bar for bytes that come in; hidden without a person.
    pub(super) fn bar(&self, size: u64, text: &str) -> ProgressBar {
        let target = if self.attended { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(size), target);
        if let Ok(style) = ProgressStyle::with_template("     {msg} {bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
            bar.set_style(style);
        }
        bar.set_message(text.to_owned());
        bar
    }

    /// The colours in use.
    pub(super) fn colour(&self) -> Colour {
        self.colour
    }
}

/// Cuts a text to so many characters, and shows that it did.
pub(super) fn cut(text: &str, count: usize) -> String {
    if text.chars().count() <= count {
        return text.to_owned();
    }
    let kept: String = text.chars().take(count).collect();
    format!("{kept} …")
}
