//! The folder that somebody gets: ledgers, policies, and how to check them. Whole under its name, or not there.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use hither_ledger::check_witnesses;
use hither_types::id::Digest;

use super::holdings::Holdings;
use crate::output::{Exit, Trouble};

/// How to check it.
pub(super) const README: &str = "README.txt";

/// The open segment, whose end may be a line that is being written.
const OPEN: &str = "ledger.jsonl";

/// How often a ledger is copied again whose node closes or deletes a segment meanwhile: that happens a few times a day.
const TRIES_MAX: usize = 4;

/// A folder that nobody has yet.
pub(super) struct Copy {
    dir: PathBuf,
    /// What was copied, verified again.
    pub(super) held: Vec<Holdings>,
}

/// Nothing is there that would be mixed with what is exported.
pub(super) fn is_free(to: &Path) -> Result<(), Trouble> {
    let part = unfinished(to);
    match [to, &part].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        None => Ok(()),
        Some(path) if *path == part => {
            let left = format!("{} is there: another export makes it now, or one was interrupted", path.display());
            Err(Trouble::new("E0827", left).help(format!("rm -r {}", path.display())).exit(Exit::Usage))
        }
        Some(path) => Err(Trouble::new("E0827", format!("{} is there already", path.display()))
            .help("--to DIR     names a folder that is made")
            .exit(Exit::Usage)),
    }
}

fn unfinished(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    to.with_file_name(name)
}

fn broken(path: &Path) -> impl Fn(io::Error) -> Trouble {
    move |error| {
        Trouble::new("E0828", format!("nothing was exported: {} cannot be written or read: {error}", path.display()))
            .help("df -h     shows what room there is")
    }
}

/// What the folder of a ledger is called.
pub(super) fn name(held: &Holdings) -> String {
    let node = held.report.node.short();
    held.here.as_ref().map_or_else(|| node.clone(), |here| format!("{}-{node}", here.site))
}

impl Copy {
    /// Copies ledgers and the policies beside them to where nobody looks yet.
    pub(super) fn make(to: &Path, ledgers: &[Holdings]) -> Result<Self, Trouble> {
        let mut copy = Self { dir: unfinished(to), held: Vec::new() };
        std::fs::create_dir_all(&copy.dir).map_err(broken(&copy.dir))?;
        for held in ledgers {
            let into = copy.dir.join(name(held));
            copy.held.push(ledger(held, &into)?);
            policies(&held.dir, &copy.dir.join("policies")).map_err(broken(&held.dir))?;
        }
        Ok(copy)
    }

    /// Puts it under its name.
    pub(super) fn hand_over(&self, to: &Path, readme: &str) -> Result<(), Trouble> {
        std::fs::write(self.dir.join(README), readme).and_then(|()| std::fs::rename(&self.dir, to)).map_err(broken(to))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What was handed over has another name; of the rest nothing stays.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A copy of one ledger that verifies, at least as long as what was asked about.
fn ledger(held: &Holdings, into: &Path) -> Result<Holdings, Trouble> {
    let mut tries = 0;
    loop {
        tries += 1;
        std::fs::create_dir(into).map_err(broken(into))?;
        let copied = files(&held.dir, into).map_err(broken(&held.dir)).and_then(|()| Holdings::of(into));
        let copied = copied.and_then(|copied| match check_witnesses(into, copied.report.node, &[]) {
            Ok(_) => Ok(copied),
            Err(text) => Err(Trouble::new("E0801", text)),
        });
        match copied {
            Ok(copied) => return Ok(copied),
            Err(trouble) if tries == TRIES_MAX => return Err(trouble),
            Err(_) => std::fs::remove_dir_all(into).map_err(broken(into))?,
        }
    }
}

/// The files of a ledger. Checkpoints before the records that they cover: the node goes on writing meanwhile.
fn files(from: &Path, into: &Path) -> io::Result<()> {
    let mut names: Vec<OsString> = ["cosigned", "witnesses", "checkpoint", "node.vkey"].map(OsString::from).into();
    names.retain(|name| from.join(name).is_file());
    for entry in std::fs::read_dir(from)? {
        let name = entry?.file_name();
        let is_segment = name.to_str().is_some_and(|name| {
            name == OPEN || name.starts_with("ledger-") && (name.ends_with(".jsonl") || name.ends_with(".hashes"))
        });
        names.extend(Some(name).filter(|_| is_segment));
    }
    for name in &names {
        std::fs::copy(from.join(name), into.join(name))?;
    }
    let open = into.join(OPEN);
    if open.exists() {
        let bytes = std::fs::read(&open)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        std::fs::OpenOptions::new().write(true).open(&open)?.set_len(whole as u64)?;
    }
    Ok(())
}

/// The texts of the policies that were ever in force at the node of a ledger, which lie beside it: each has the BLAKE3 of its
/// text for a name. What else lies there is nobody's to hand out.
fn policies(ledger: &Path, into: &Path) -> io::Result<()> {
    let from = std::fs::canonicalize(ledger)?.with_file_name("policies");
    if !from.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(into)?;
    for entry in std::fs::read_dir(&from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let (text, name) = (std::fs::read(entry.path())?, entry.file_name());
            if name.to_str() == Some(&format!("{}.toml", blake3::hash(&text).to_hex())) {
                std::fs::write(into.join(name), text)?;
            }
        }
    }
    Ok(())
}

/// How to check it without whoever handed it over.
pub(super) fn readme(recipient: &str, names: &[String], ledgers: &[Holdings]) -> String {
    let mut text = format!("Ledgers of Hither nodes, copied for {recipient}.\n\n");
    for (name, held) in names.iter().zip(ledgers) {
        let report = &held.report;
        text.push_str(&format!(
            "{name}/\n  node    {}\n  signed  {} records, root {}\n  there   {} records\n",
            report.node,
            report.signed,
            Digest(report.root),
            report.records
        ));
    }
    text.push_str(
        "policies/\n  each policy that was in force, named by the BLAKE3 of its text, as records name it\n\n\
         To check them without whoever gave them to you, and without a network:\n\n",
    );
    for (name, held) in names.iter().zip(ledgers) {
        text.push_str(&format!("  hither-ledger-verify --node {} {name}\n", held.report.node));
    }
    text.push_str(
        "\nscripts/verify-ledger of the sources does the same in Python, and any verifier of C2SP checkpoints and RFC 6962\n\
         trees over the lines of ledger.jsonl will do. Get the ids of the nodes, and those of members that signed as\n\
         witnesses (--witness), from somebody else: what stands here proves nothing about whose a ledger is.\n\n\
         What they say of a period, and whether two of them agree:\n\n",
    );
    let all = names.join(" ");
    text.push_str(&format!("  hither audit report {all} --out report.html\n"));
    if names.len() > 1 {
        text.push_str(&format!("  hither audit reconcile {all}\n"));
    }
    text.push_str(
        "\nA record of the kind export says that a ledger was copied for somebody, and by which rule: yours is there if its\n\
         node ran when it was copied. Records may be as confidential as the requests that they are about, though they hold\n\
         nothing of what was asked or answered.\n",
    );
    text
}
