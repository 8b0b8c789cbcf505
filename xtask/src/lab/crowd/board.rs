//! Figures with their goals, and the page that they make: docs/figures/mesh.md.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use super::{Crowded, PARTS};
use crate::tidy::root;

/// What is wanted of a figure.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Said for completeness.
    None,
}

/// One line of the page.
pub(super) struct Figure {
    /// What was measured.
    pub(super) what: String,
    pub(super) goal: Goal,
    pub(super) unit: &'static str,
    pub(super) value: f64,
    /// How it is spread, what it is made of.
    pub(super) more: String,
    /// What is known of why the goal may be missed.
    pub(super) why: String,
}

impl Figure {
    /// A figure without a goal.
    pub(super) fn told(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), goal: Goal::None, unit, value, more: String::new(), why: String::new() }
    }

    pub(super) fn goal(self, goal: Goal) -> Self {
        Self { goal, ..self }
    }

    pub(super) fn more(self, more: impl Into<String>) -> Self {
        Self { more: more.into(), ..self }
    }

    pub(super) fn why(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// Whether the goal is met; nothing if there is none.
    pub(super) fn is_met(&self) -> Option<bool> {
        match self.goal {
            Goal::AtMost(most) => Some(self.value <= most),
            Goal::AtLeast(least) => Some(self.value >= least),
            Goal::None => None,
        }
    }

    fn line(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let goal = match self.goal {
            Goal::AtMost(most) => format!("≤ {}{unit}", plain(most)),
            Goal::AtLeast(least) => format!("≥ {}{unit}", plain(least)),
            Goal::None => "–".to_owned(),
        };
        let verdict = match self.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "–",
        };
        format!("| {} | {goal} | {}{unit} | {verdict} | {} |", self.what, plain(self.value), self.more)
    }
}

/// What a part found.
pub(super) struct Part {
    pub(super) title: &'static str,
    /// What exactly was done.
    pub(super) about: String,
    pub(super) figures: Vec<Figure>,
    /// Lines of a table, or sentences, below the figures.
    pub(super) below: String,
    /// What could not be measured, and why.
    pub(super) failed: Vec<String>,
}

/// Three digits that matter.
pub(super) fn plain(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}

/// Bytes a second as megabytes a day.
pub(super) fn per_day(bytes_per_s: f64) -> String {
    format!("{} MB a day", plain(bytes_per_s * 86_400.0 / 1e6))
}

fn said(program: &str, words: &[&str]) -> String {
    let done = Command::new(program).args(words).current_dir(root()).output();
    done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap_or_default()
}

/// The commit of this checkout.
pub(super) fn head() -> String {
    said("git", &["rev-parse", "--short", "HEAD"])
}

/// What opens the section of a part, by which it is found again.
fn mark(name: &str) -> String {
    format!("<!-- {name} -->")
}

/// The section of a part.
pub(super) fn section(name: &str, measured: &Result<Part, String>, took: Duration, given: &Crowded) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(", ");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let lately: f64 = load.split(',').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    let busy = if lately > BUSY * cores as f64 { DISTURBED } else { "" };
    let when = format!(
        "Measured by `cargo xtask mesh --part {name}` with the program of commit {}, {}, in {:.0} s on {}; load at the end (1, 5, 15 minutes): {load}.{busy}",
        given.commit,
        said(given.lab.hither.to_str().unwrap_or_default(), &["--version"]),
        took.as_secs_f64(),
        machine()
    );
    let mut text = format!("{}\n", mark(name));
    let part = match measured {
        Ok(part) => part,
        Err(error) => {
            let _ = write!(text, "## {name}\n\nNot measured: {}\n\n{when}\n", error.replace('\n', " "));
            return text;
        }
    };
    let _ = write!(
        text,
        "## {}\n\n{}\n\n{when}\n\n| what | goal | measured | verdict | more |\n|{}\n",
        part.title,
        part.about,
        " --- |".repeat(5)
    );
    for figure in &part.figures {
        let _ = writeln!(text, "{}", figure.line());
    }
    let missed: Vec<&Figure> = part.figures.iter().filter(|figure| figure.is_met() == Some(false)).collect();
    if !missed.is_empty() {
        text.push_str("\nMissed:\n\n");
    }
    for figure in missed {
        let why = if figure.why.is_empty() { "no reason is known" } else { &figure.why };
        let _ = writeln!(text, "- {}: {why}.", figure.what);
    }
    for failed in &part.failed {
        let _ = write!(text, "\n**Not measured**: {}.\n", failed.replace('\n', " "));
    }
    if !part.below.is_empty() {
        let _ = write!(text, "\n{}\n", part.below.trim_end());
    }
    text
}

/// The page, where these sections are new and the others stay as they were.
pub(super) fn renewed(old: &str, sections: &[(&str, String)]) -> String {
    let mut page = format!("{HEAD}\n");
    for (name, _) in PARTS {
        let fresh = sections.iter().find(|(of, _)| of == name).map(|(_, text)| text.trim_end().to_owned());
        let kept = || kept(old, name).unwrap_or_else(|| format!("{}\n## {name}\n\nNot measured yet.", mark(name)));
        let _ = write!(page, "\n{}\n", fresh.unwrap_or_else(kept));
    }
    page + "\n" + RUN
}

/// The section of a part on a page.
fn kept(page: &str, name: &str) -> Option<String> {
    let begin = page.find(&mark(name))?;
    let rest = &page[begin..];
    let end = rest[1..].find("\n<!-- ").map_or(rest.len(), |end| end + 1);
    let text = &rest[..end];
    Some(text.split("\n## Running it").next().unwrap_or(text).trim_end().to_owned())
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} processors ({}, {})", model.unwrap_or("unknown"), said("uname", &["-sr"]))
}

/// How much work for each processor is more than a measurement bears.
const BUSY: f64 = 3.0;

/// What is said of a measurement on a machine that had more to do.
const DISTURBED: &str = " **Disturbed**: other work took most of the machine; what this section says of times, of shares of \
processors and of goodput is of little worth, and silences of nodes that were not let run are in it.";

/// What the page is.
const HEAD: &str = "# A mesh of dozens of real nodes\n\nWritten by `cargo xtask mesh`; do not edit by hand.\n\n\
Real processes of the program, each on a machine of its own: a network namespace at a port of one router, so that the kernel counts \
what each says and hears. All stand at one site and know all others. Their models are stubs. Data directories lie in memory, \
so that no disk is slow. All of it runs on one machine, which each section names, beside whatever else ran there: times are worth less \
than ratios, and processor time more than times.\n";

/// How it is run.
const RUN: &str = "## Running it

```
make build
cargo xtask mesh                    # all parts, half an hour; writes this page
cargo xtask mesh --quick            # less of everything, some minutes; writes nothing
cargo xtask mesh --part idle        # one part; renews its section
cargo xtask mesh --part idle --nodes 40   # another size than 20 and 60
cargo xtask mesh --hither PROGRAM --commit WHICH --seed 7
```

It needs Linux with `ip` and `tc` (Debian: iproute2), `nft` (nftables) for the part `ways`, `nsenter`, `setpriv` and `unshare`
(util-linux); as root, or where user namespaces are allowed. What others are compared with, if they are there: aria2,
python3-libtorrent, transmission-cli, nginx-light and curl (Debian), rqbit (`cargo install rqbit`, on the PATH), and plain
iroh-blobs (`scripts/rivals/setup blobs`). Nothing outlives it. Logs of the nodes stay in `target/mesh`.
";
