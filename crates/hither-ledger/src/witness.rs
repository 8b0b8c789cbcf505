//! Witnesses of a ledger, both ends: what its node shows them, and what they keep of it.
//!
//! A witness keeps the last checkpoint of a node that it signed, and the peaks of the tree under it. It signs a newer one only
//! if the tree grew from there. So who would tell a history anew needs the help of each of its witnesses; and one that was shown
//! two holds two checkpoints with the node's signature that contradict each other.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use hither_types::id::NodeId;
use hither_types::time::WallTime;
use hither_types::witness::WitnessWord;

use crate::body::rfc3339;
use crate::check::leaf_of;
use crate::note::cosign::{parse_witness_key, witness_key};
use crate::note::{Checkpoint, NoteError};
use crate::segments::{Segment, list};
use crate::storage::{CHECKPOINT, replace, sync_dir};
use crate::tree::growth::Growth;
use crate::tree::{Hash, Tree};

#[cfg(test)]
mod tests;

/// A checkpoint with the lines of witnesses under it.
pub(crate) const COSIGNED: &str = "cosigned";

/// Their keys, a line each, in the order of their lines.
pub(crate) const WITNESSES: &str = "witnesses";

/// How long a checkpoint may be on its way.
const LATE_SECONDS: u64 = 60;

/// The name of a node's key under checkpoints: `hither/<node>`, without the mesh, which a node may change.
pub fn origin_of(node: NodeId) -> String {
    format!("hither/{}", node.short())
}

/// How often a ledger is read again whose node closes a segment meanwhile: that happens once a day, or every few MB.
const LOOKS_MAX: usize = 4;

/// What a ledger grew by from one size to another. `None`: it is not that long.
///
/// # Errors
/// If its files cannot be read, or change their names each time.
pub fn growth(dir: &Path, from: u64, to: u64) -> io::Result<Option<Growth>> {
    for _ in 0..LOOKS_MAX {
        let segments = list(dir)?;
        let read = growth_of(dir, &segments, from, to);
        // Names that are the same before and after mean the same files.
        if list(dir)? == segments {
            return read;
        }
    }
    Err(io::Error::other("the files of the ledger change while they are read"))
}

fn growth_of(dir: &Path, segments: &[Segment], from: u64, to: u64) -> io::Result<Option<Growth>> {
    let mut growth = Growth::of(from);
    // Segments that end before are not read.
    let begin = segments.iter().rposition(|segment| segment.first.is_some_and(|first| first <= from)).unwrap_or(0);
    let mut at = segments.get(begin).and_then(|segment| segment.first).unwrap_or(0);
    for segment in &segments[begin..] {
        let (mut file, mut line) = (BufReader::new(File::open(dir.join(segment.name()))?), Vec::new());
        while at < to {
            line.clear();
            if file.read_until(b'\n', &mut line)? == 0 || line.pop() != Some(b'\n') {
                break;
            }
            if at >= from {
                let Some(leaf) = leaf_of(&line, segment.form) else { return Ok(None) };
                growth.push(leaf);
            }
            at += 1;
        }
    }
    Ok((from <= to && at == to).then_some(growth))
}

/// The checkpoint of a ledger as it is now: the note, and what it says.
///
/// # Errors
/// If it cannot be read, or is not the node's.
pub fn checkpoint(dir: &Path, node: NodeId) -> io::Result<(String, Checkpoint)> {
    let note = std::fs::read_to_string(dir.join(CHECKPOINT))?;
    let checkpoint =
        Checkpoint::open(&note, node).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok((note, checkpoint))
}

/// Keeps a checkpoint with the lines of its witnesses beside the ledger that it is of.
///
/// # Errors
/// If it cannot be written.
pub fn keep_cosigned<'a>(dir: &Path, note: &str, lines: impl IntoIterator<Item = (NodeId, &'a str)>) -> io::Result<()> {
    let (mut signed, mut keys) = (note.to_owned(), String::new());
    for (witness, line) in lines {
        let key = witness_key(&origin_of(witness), witness)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        keys.push_str(&format!("{key}\n"));
        signed.push_str(line);
    }
    // Keys of witnesses whose lines are not there yet are in nobody's way; lines without a key would be.
    replace(dir, WITNESSES, keys.as_bytes())?;
    replace(dir, COSIGNED, signed.as_bytes())
}

/// A checkpoint that others signed, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Who signed it, and when, in seconds since 1970.
    pub by: Vec<(NodeId, u64)>,
}

/// Reads a checkpoint that others signed, beside a ledger, and checks their lines. `None`: there is none.
///
/// # Errors
/// If there is one, and it is not what a node keeps there; the text says what is wrong.
pub fn cosigned(dir: &Path, node: NodeId) -> Result<Option<Cosigned>, String> {
    let note = match std::fs::read_to_string(dir.join(COSIGNED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| format!("{COSIGNED} cannot be read: {error}"))?,
    };
    let keys =
        std::fs::read_to_string(dir.join(WITNESSES)).map_err(|error| format!("{WITNESSES} cannot be read: {error}"))?;
    let checkpoint = Checkpoint::open(&note, node).map_err(|error| format!("{COSIGNED}: {error}"))?;
    let lines: Vec<String> =
        note.rsplit_once("\n\n").map_or("", |(_, lines)| lines).lines().map(|line| format!("{line}\n")).collect();
    let mut by = Vec::new();
    for key in keys.lines() {
        let (name, witness) = parse_witness_key(key).map_err(|_| format!("{WITNESSES} has a line that is no key"))?;
        let found = lines.iter().find_map(|line| checkpoint.check_cosignature(line, witness).ok());
        // Keys are written before lines: one may be there whose line is not yet.
        by.extend(found.filter(|found| found.name == name).map(|found| (witness, found.time)));
    }
    match by.is_empty() {
        true => Err(format!("{COSIGNED} has no right signature of any of the {WITNESSES}")),
        false => Ok(Some(Cosigned { checkpoint, by })),
    }
}

/// When that was written, by the clock of this machine. `None`: it is not there.
pub fn cosigned_at(dir: &Path) -> Option<WallTime> {
    let at = std::fs::metadata(dir.join(COSIGNED)).and_then(|kept| kept.modified()).ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

/// The same, and whether the ledger begins with what they signed.
///
/// # Errors
/// As [`cosigned`]; and if it does not.
pub fn check_cosigned(dir: &Path, node: NodeId) -> Result<Option<Cosigned>, String> {
    let Some(cosigned) = cosigned(dir, node)? else { return Ok(None) };
    let Checkpoint { size, root, .. } = cosigned.checkpoint;
    let grown = growth(dir, 0, size).map_err(|error| format!("the ledger cannot be read: {error}"))?;
    let tree = grown.and_then(|growth| Tree::default().grown(size, growth.hashes()));
    match tree {
        None => Err(format!("witnesses signed {size} records, and it has fewer")),
        Some(tree) if tree.root() != root => {
            Err(format!("its first {size} records are not those that witnesses signed"))
        }
        Some(_) => Ok(Some(cosigned)),
    }
}

/// The same, where of all who may have signed only those count whom somebody knows; all of them, if none is named.
///
/// # Errors
/// As [`check_cosigned`]; and if none of those who are named signed.
pub fn check_witnesses(dir: &Path, node: NodeId, known: &[NodeId]) -> Result<Option<Cosigned>, String> {
    let found = check_cosigned(dir, node)?;
    if known.is_empty() {
        return Ok(found);
    }
    let counted = found.map(|mut cosigned| {
        cosigned.by.retain(|(witness, _)| known.contains(witness));
        cosigned
    });
    match counted.filter(|cosigned| !cosigned.by.is_empty()) {
        Some(cosigned) => Ok(Some(cosigned)),
        None => Err(format!("none of the {} witnesses that were named signed it", known.len())),
    }
}

/// Where the key comes from by which a ledger was checked, as people are told.
pub fn key_text(is_named: bool) -> &'static str {
    if is_named {
        "the key is that of the node that was named"
    } else {
        "the key was taken from the folder itself: whoever wrote the folder can have put another there; name whose ledger it \
         should be (--node ID)"
    }
}

impl Cosigned {
    /// What it says, for people, a line each.
    pub fn text(&self) -> String {
        let mut text = format!(
            "  the first {} records were signed by {} other nodes as well:\n",
            self.checkpoint.size,
            self.by.len()
        );
        for (witness, time) in &self.by {
            text.push_str(&format!("    node {witness}  at {}\n", rfc3339(WallTime(time.saturating_mul(1_000)))));
        }
        text
    }
}

/// What a witness knows of one ledger.
#[derive(Debug, Default)]
struct Known {
    note: String,
    tree: Tree,
    /// When it was signed, in seconds since 1970.
    time: u64,
}

/// What a witness answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The word to the node whose ledger it is.
    pub reply: WitnessWord,
    /// What the witness's own operator has to know: the ledger did not only grow.
    pub alarm: Option<String>,
}

/// A witness: the folder in which it keeps what it signed, and the key with which it does.
pub struct Witness {
    dir: PathBuf,
    node: NodeId,
    key: SigningKey,
}

impl Witness {
    /// With the key of its node, 32 bytes.
    pub fn new(dir: PathBuf, key: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(key);
        Self { dir, node: NodeId(key.verifying_key().to_bytes()), key }
    }

    /// Looks at the checkpoint of a node and signs it if the ledger grew since the last one. What it signed is on its disk
    /// before it says so.
    ///
    /// # Errors
    /// If what it knows cannot be read, or the new one not be written: then it says nothing.
    pub fn examine(
        &self,
        of: NodeId,
        note: &str,
        from: u64,
        growth: &[Hash],
        now: WallTime,
    ) -> io::Result<Option<Examined>> {
        let checkpoint = match Checkpoint::open(note, of) {
            Ok(checkpoint) if checkpoint.origin == origin_of(of) => checkpoint,
            // Whoever said that is not the node, or does not know what it says: it is not worth an answer.
            Ok(_) | Err(_) => return Ok(None),
        };
        let known = self.known(of)?;
        let (size, seconds) = (known.tree.size(), now.0 / 1_000);
        let said = |reply| Ok(Some(Examined { reply, alarm: None }));
        // A checkpoint of a moment before the last one may come late.
        let is_late = checkpoint.size < size && seconds.saturating_sub(known.time) < LATE_SECONDS;
        if is_late || checkpoint.size >= size && from != size {
            return said(WitnessWord::Known(size));
        }
        let grown = known.tree.grown(checkpoint.size, growth).filter(|tree| tree.root() == checkpoint.root);
        let Some(grown) = grown else {
            // Of a ledger that was never seen nothing is contradicted; what its node says is not worth an answer.
            if size == 0 {
                return Ok(None);
            }
            // The first is the evidence: what comes later may be made up to take its place.
            let name = format!("{of}.refused");
            if !self.dir.join(&name).exists() {
                replace(&self.dir, &name, note.as_bytes())?;
            }
            let alarm = Some(self.alarm(of, size));
            return Ok(Some(Examined { reply: WitnessWord::Refused(size), alarm }));
        };
        let line = checkpoint.cosign(&origin_of(self.node), &self.key, seconds);
        self.keep(of, &Known { note: note.to_owned(), tree: grown, time: seconds })?;
        said(WitnessWord::Signed { size: checkpoint.size, line })
    }

    /// The same each time, so that it is one warning.
    fn alarm(&self, of: NodeId, size: u64) -> String {
        let (name, dir) = (of.short(), self.dir.display());
        format!(
            "the ledger of node {name} does not go on from the {size} records with which this node signed it, or its node could not \
             show that it does. Both checkpoints have its signature, and lie in {dir} ({of} and {of}.refused). If its operator owned up to \
             a loss there (hither ledger accept-loss), move {of} away"
        )
    }

    fn known(&self, of: NodeId) -> io::Result<Known> {
        let text = match std::fs::read_to_string(self.dir.join(of.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Known::default()),
            read => read?,
        };
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("what is kept of {of} is damaged"));
        let (note, rest) = text.split_once("\npeaks ").ok_or_else(wrong)?;
        let (time, peaks) = rest.split_once('\n').ok_or_else(wrong)?;
        let time = time.parse().map_err(|_: std::num::ParseIntError| wrong())?;
        let checkpoint = Checkpoint::open(note, of).map_err(|_: NoteError| wrong())?;
        let peak = |line: &str| BASE64.decode(line.as_bytes()).ok()?.try_into().ok();
        let peaks: Option<Vec<Hash>> = peaks.lines().map(peak).collect();
        let tree = peaks.and_then(|peaks| Tree::default().grown(checkpoint.size, &peaks));
        let tree = tree.filter(|tree| tree.root() == checkpoint.root).ok_or_else(wrong)?;
        Ok(Known { note: note.to_owned(), tree, time })
    }

    fn keep(&self, of: NodeId, known: &Known) -> io::Result<()> {
        let mut text = format!("{}\npeaks {}\n", known.note, known.time);
        for peak in known.tree.peaks() {
            text.push_str(&format!("{}\n", BASE64.encode(peak)));
        }
        std::fs::create_dir_all(&self.dir)?;
        replace(&self.dir, &of.to_string(), text.as_bytes())?;
        sync_dir(&self.dir)
    }
}
