//! The page of a run: docs/figures/lab.md.

use std::process::Command;

use super::rows::Row;
use super::{Came, Lab};
use crate::tidy::root;

/// How a row says that this machine cannot play it.
pub(super) const NOT_RUN: &str = "not run: ";

/// A row, as it was and with its expectation broken.
pub(super) struct Played {
    pub(super) row: &'static Row,
    pub(super) normal: Option<Came>,
    pub(super) broken: Option<Came>,
}

impl Played {
    /// What is wrong: a row that does not hold, or one that holds although it was broken.
    pub(super) fn faults(&self) -> Vec<String> {
        let number = self.row.number;
        let mut faults = Vec::new();
        if let (Some(Came { what: Err(why), .. }), None) = (&self.normal, self.row.lacks)
            && !why.starts_with(NOT_RUN)
        {
            faults.push(format!("row {number} does not hold: {why}"));
        }
        if let Some(Came { what: Ok(_), .. }) = &self.broken {
            faults.push(format!("row {number} holds although {}", self.row.broken));
        }
        faults
    }

    fn line(&self) -> String {
        let Row { number, fault, expected, how, broken, lacks, .. } = self.row;
        let (verdict, observed, seconds) = match &self.normal {
            None => ("not run".to_owned(), "–", 0.0),
            Some(Came { what: Ok(observed), took }) => ("held".to_owned(), observed.as_str(), took.as_secs_f64()),
            Some(Came { what: Err(observed), .. }) if observed.starts_with(NOT_RUN) => (observed.clone(), "–", 0.0),
            Some(Came { what: Err(observed), took }) => {
                let verdict =
                    lacks.map_or("**did not hold**".to_owned(), |lacks| format!("**not there yet**: {lacks}"));
                (verdict, observed.as_str(), took.as_secs_f64())
            }
        };
        let shown = match &self.broken {
            None => "not played".to_owned(),
            Some(Came { what: Ok(_), .. }) => format!("{broken}: **held all the same**"),
            Some(Came { what: Err(why), .. }) if why.starts_with(NOT_RUN) => "–".to_owned(),
            Some(Came { what: Err(why), .. }) => format!("{broken}: failed ({})", short(why)),
        };
        format!(
            "| {number} | {fault} | {expected} | {} | {verdict} | {seconds:.0} | {how} | {shown} |\n",
            cell(observed)
        )
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "/").replace('\n', " ")
}

fn short(text: &str) -> String {
    let text = cell(text);
    let cut = text.char_indices().nth(110).map_or(text.len(), |(at, _)| at);
    if cut < text.len() { format!("{}…", &text[..cut]) } else { text }
}

fn said(program: &str, words: &[&str]) -> String {
    let done = Command::new(program).args(words).current_dir(root()).output();
    done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap_or_default()
}

/// The whole page.
pub(super) fn page(lab: &Lab, played: &[Played]) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (kernel, commit) = (said("uname", &["-sr"]), said("git", &["rev-parse", "--short", "HEAD"]));
    let version = said(lab.hither.to_str().unwrap_or_default(), &["--version"]);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let user =
        if rustix::process::geteuid().is_root() && lab.scratch.exists() { "as root" } else { "in a user namespace" };
    let mut page = format!(
        "# The lab\n\nWritten by `cargo xtask lab`; do not edit by hand.\n\n{TEXT}\n\n\
         {version}, seed {}, commit {commit}; {kernel}, {cores} cores with \
         a load of {load} at the end; {user}. Data directories lie in memory, so that no disk is slow.\n\n\
         | row | fault | expected | observed | verdict | seconds | how | broken on purpose |\n|{}\n",
        lab.seed,
        " --- |".repeat(8)
    );
    page.extend(played.iter().map(Played::line));
    counted(&page) + "\n" + RUN
}

/// The page with how many rows held, read off its table, before the table.
fn counted(page: &str) -> String {
    let verdict = |line: &str| line.split('|').nth(5).map(str::trim).unwrap_or_default().to_owned();
    let rows =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| row") && !line.starts_with("| ---"));
    let verdicts: Vec<String> = rows.map(verdict).collect();
    let held = verdicts.iter().filter(|verdict| *verdict == "held").count();
    let absent = verdicts.iter().filter(|verdict| verdict.starts_with(NOT_RUN)).count();
    let not = verdicts.len() - held - absent;
    let count = format!("{held} rows held, {not} did not, {absent} were not run.\n\n| row |");
    let (before, after) = page.split_once("| row |").unwrap_or((page, ""));
    let before = before.lines().filter(|line| !line.contains(" rows held, ")).collect::<Vec<_>>().join("\n");
    format!("{}\n\n{count}{after}", before.trim_end())
}

/// A page in which some rows were played again, or for the first time, by themselves: their lines say so.
pub(super) fn renewed(old: &str, played: &[Played]) -> String {
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    let begins = |again: &Played| format!("| {} |", again.row.number);
    let alone = |again: &Played| {
        again.line().replacen(&begins(again), &format!("{} (at {commit}, run alone)", begins(again)), 1)
    };
    let line = |line: &str| {
        let again = played.iter().find(|again| line.starts_with(&begins(again)));
        again.map_or(format!("{line}\n"), alone)
    };
    let new = played.iter().filter(|again| !old.lines().any(|line| line.starts_with(&begins(again))));
    let table = old
        .rfind("\n| ")
        .map_or(old.len(), |last| old[last + 1..].find('\n').map_or(old.len(), |end| last + 1 + end + 1));
    let (above, below) = old.split_at(table);
    let lines = |part: &str| part.lines().map(line).collect::<String>();
    counted(&(lines(above) + &new.map(alone).collect::<String>() + &lines(below)))
}

/// What the lab is.
const TEXT: &str = "Real processes of the program on machines out of network namespaces. Each site is a router with a bridge; the \
routers meet in a core, each over a link of its own between two TUN devices, through which one thread moves packets with \
the delay, jitter, loss, rate or silence that a row wants, drawn from a seed. Unless a row says otherwise a link delays by \
5 ms each way, so that two sites are 20 ms apart there and back. The models are stubs, whose every word is a hash of the \
prompt and its number: a gap, a repetition or a wrong word in a stream is seen. Clients run beside the node that they call. \
Times are by the monotonic clock, seen every 20 ms.";

/// How it is run.
const RUN: &str = "## Running it

```
make build
cargo xtask lab                 # all rows, each also broken on purpose; writes this page
cargo xtask lab --quick         # fewer repetitions, nothing broken, no page
cargo xtask lab --row 4 --row 5 # some rows; renews their lines of this page
cargo xtask lab --row 4 --broken
cargo xtask lab --hither PROGRAM --seed 7
cargo xtask lab --row 21 --previous $(cargo xtask previous --commit REVISION)
```

It needs Linux with `/dev/net/tun`, `ip`, `nft`, `nsenter`, `setpriv` and `unshare` (Debian: iproute2, nftables, util-linux), and
`faketime` for row 17. As root it enters namespaces of its own directly; else in a user namespace, where the system allows
that and lets it open `/dev/net/tun`. Processes, networks, mounts and files of a run are in those namespaces and end with
its first process, also after Ctrl-C or a crash. Logs of the nodes stay in `target/lab`.
";
