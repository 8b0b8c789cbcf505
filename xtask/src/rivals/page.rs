//! Rows and the page that they make.

use std::fmt::Write as _;
use std::process::Command;

use super::Setting;
use super::run::first_line;

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

/// Ours beside a rival's, round by round.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Which part of the page it belongs to.
    pub(super) part: &'static str,
    /// What is compared.
    pub(super) what: String,
    /// What is wanted.
    pub(super) goal: Goal,
    /// What the figure is: a ratio if empty, else a unit.
    pub(super) unit: &'static str,
    /// The figure of each pair of rounds, or why there is none.
    pub(super) figures: Result<Vec<f64>, String>,
    /// Medians of both, as text.
    pub(super) ours: String,
    /// … the rival's.
    pub(super) theirs: String,
    /// What is known of why a goal may be missed.
    pub(super) why: &'static str,
}

impl Row {
    /// Whether there is a figure.
    pub(super) fn has_run(&self) -> bool {
        self.figures.as_ref().is_ok_and(|figures| !figures.is_empty())
    }

    /// The same, and what is known of why its goal may be missed.
    pub(super) fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    /// The median, with the least and the greatest.
    fn figure(&self) -> Option<(f64, f64, f64)> {
        let figures = self.figures.as_ref().ok()?;
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (!figures.is_empty()).then(|| (median(figures), least, most))
    }

    /// Whether the median is what is wanted; `None` without a figure or a goal.
    pub(super) fn is_met(&self) -> Option<bool> {
        let (middle, ..) = self.figure()?;
        match self.goal {
            Goal::AtMost(most) => Some(middle <= most),
            Goal::AtLeast(least) => Some(middle >= least),
            Goal::None => None,
        }
    }

    /// One line of a table.
    pub(super) fn line(&self) -> String {
        let unit = if self.unit.is_empty() { " ×".to_owned() } else { format!(" {}", self.unit) };
        let goal = match self.goal {
            Goal::AtMost(most) => format!("≤ {most}{unit}"),
            Goal::AtLeast(least) => format!("≥ {least}{unit}"),
            Goal::None => "–".to_owned(),
        };
        let (figure, verdict) = match (self.figure(), &self.figures) {
            (Some((middle, least, most)), _) => (
                format!("{}{unit} ({}–{})", short(middle), short(least), short(most)),
                match self.is_met() {
                    Some(true) => "met".to_owned(),
                    Some(false) => "**missed**".to_owned(),
                    None => "–".to_owned(),
                },
            ),
            (None, Err(why)) => ("not run".to_owned(), why.replace(['|', '\n'], " ")),
            (None, Ok(_)) => ("not run".to_owned(), "no round ended".to_owned()),
        };
        format!("| {} | {goal} | {figure} | {verdict} | {} | {} |", self.what, self.ours, self.theirs)
    }
}

/// The middle number.
pub(super) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// Three digits that matter.
pub(super) fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// The page.
pub(super) fn page(rows: &[Row], setting: &Setting) -> String {
    let mut text = format!(
        "# The engines beside the best local servers\n\nWritten by `cargo xtask rivals engines`; do not edit by hand. \
         `scripts/rivals/setup` installs the rivals.\n\nEach figure is the median over {} pairs of rounds, with the least \
         and the greatest; in a pair the two ran one after the other on the same machine, asked the same by the same \
         client. A ratio is ours divided by the rival's. What the processor spent is a better figure than what a clock \
         showed where other work runs beside: the load on the machine when the page was written is below.\n\n{}\n",
        setting.rounds,
        machine()
    );
    let mut parts: Vec<&str> = rows.iter().map(|row| row.part).collect();
    parts.dedup();
    for part in parts {
        let _ = write!(
            text,
            "\n## {part}\n\n| what | goal | measured | verdict | ours | theirs |\n|{}\n",
            " --- |".repeat(6)
        );
        let own = || rows.iter().filter(|row| row.part == part);
        for row in own() {
            let _ = writeln!(text, "{}", row.line());
        }
        let missed: Vec<&Row> = own().filter(|row| row.is_met() == Some(false)).collect();
        if !missed.is_empty() {
            text.push_str("\nMissed:\n\n");
        }
        for row in missed {
            let why = if row.why.is_empty() { "no reason is known" } else { row.why };
            let _ = writeln!(text, "- {}: {why}.", row.what);
        }
    }
    let _ = write!(text, "\n## Settings and versions\n\n{}", versions(setting));
    text
}

/// What this machine is, and how busy.
pub(super) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let flags = field("flags").unwrap_or_default();
    let has = |flag: &str| flags.split(' ').any(|found| found == flag);
    let vectors: Vec<&str> =
        ["avx2", "avx512f", "avx512_vnni", "amx_int8"].into_iter().filter(|flag| has(flag)).collect();
    let load = read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(", ");
    format!(
        "Machine: {count} processors, {} ({}), virtual, {}; load when the page was written (1, 5, 15 minutes): {load}.",
        field("model name").unwrap_or_else(|| "unknown".to_owned()),
        vectors.join(", "),
        read("/etc/os-release")
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="))
            .unwrap_or("Linux")
            .trim_matches('"'),
    )
}

fn versions(setting: &Setting) -> String {
    let package = |venv: &str, name: &str| {
        let python = setting.rivals.join(venv).join("bin/python");
        let code = format!("import importlib.metadata as m; print(m.version({name:?}))");
        first_line(Command::new(python).args(["-c", &code]))
    };
    let commit =
        first_line(Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(crate::tidy::root()));
    format!(
        "- this program: {}, commit {commit}; one thread for each engine, as a node starts it\n\
         - onnxruntime {} for Python, in one process, one thread, all optimisations: `scripts/rivals/onnx_round.py`\n\
         - MLServer {} with mlserver-sklearn {}, scikit-learn {}, `parallel_workers: 0` (in its own process, the fastest \
         for a model this small)\n\
         - mosec {} around onnxruntime {}, one worker of one thread, a request at a time and 16 at a time: \
         `scripts/rivals/mosec_server.py`\n\
         - llama-server of the llama.cpp that llama-cpp-python 0.3.36 carries, built for this very processor with OpenMP; \
         and the same server with the kernels that this program has (AVX2, no OpenMP): one thread, 8 slots, 8,192 tokens \
         of memory for all together, no web interface\n",
        first_line(Command::new(&setting.hither).arg("--version")),
        package("onnx", "onnxruntime"),
        package("mlserver", "mlserver"),
        package("mlserver", "mlserver-sklearn"),
        package("mlserver", "scikit-learn"),
        package("mosec", "mosec"),
        package("mosec", "onnxruntime"),
    )
}
