//! Witnesses: peers that sign the checkpoints of this node's ledger, and this node, which signs those of others.
//!
//! A round asks three peers to sign the checkpoint as it is now; at least one of another operator or, failing that, of another
//! country, where there is one. Nobody waits for them: no request does, and no record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hither_ledger::{Checkpoint, Examined, Witness, growth, keep_cosigned, origin_of};
use hither_types::id::NodeId;
use hither_types::member::Member;
use hither_types::message::PeerMessage;
use hither_types::time::WallTime;
use hither_types::unit::Days;
use hither_types::view::PresenceView;
use hither_types::witness::WitnessWord;
use hither_wire::versions::WITH_WITNESSES;

use crate::driver::{Driver, Inbound};
use crate::limits::{EXAMINED_AT_ONCE, WITNESS_EVERY, WITNESS_FIRST, WITNESS_WANTED, WITNESSES};
use crate::trust::wall_now;

#[cfg(test)]
mod tests;

/// How the warning begins that nobody signed the ledger for too long.
const UNSIGNED: &str = "unwitnessed: ";

/// What a hand found out for a word of this kind.
#[derive(Debug)]
pub(crate) enum WitnessNews {
    /// A checkpoint, and what its ledger grew by since each of these peers saw it.
    Round(Box<Round>, Vec<(NodeId, WitnessWord)>),
    /// A word to a peer.
    Say(NodeId, WitnessWord),
    /// What this node says to the ledger of another; none if it says nothing.
    Examined(NodeId, Option<Examined>),
}

/// A checkpoint on its way to its witnesses.
#[derive(Debug)]
pub(crate) struct Round {
    note: String,
    checkpoint: Checkpoint,
    asked: BTreeSet<NodeId>,
    lines: BTreeMap<NodeId, String>,
    /// Those that were asked once more.
    again: BTreeSet<NodeId>,
}

/// Both ends of it.
pub(crate) struct Witnesses {
    ledger: PathBuf,
    /// One word at a time: what is kept of a ledger is read, and written anew.
    own: Arc<Mutex<Witness>>,
    round: Option<Round>,
    /// When the last round began, or the node.
    at: Instant,
    /// A first round was begun.
    began: bool,
    /// With how many records each peer knows this ledger.
    known: BTreeMap<NodeId, u64>,
    /// The last round's: those that did not answer are asked last.
    silent: BTreeSet<NodeId>,
    /// Whose ledgers this node looks at now.
    examining: BTreeSet<NodeId>,
    /// What they asked meanwhile, the last of each: its first question is of no use to who has asked another.
    waiting: BTreeMap<NodeId, Question>,
    /// How many lines the checkpoint has that is kept, and of how many records it is.
    kept: (usize, u64),
    /// When somebody signed it last, by this machine's clock: that of a witness may be ahead.
    signed_at: Option<WallTime>,
    /// Rounds since then.
    fruitless: u32,
}

impl Witnesses {
    pub(crate) fn new(ledger: PathBuf, witnessed: PathBuf, me: NodeId, key: &[u8; 32]) -> Self {
        let before = hither_ledger::cosigned(&ledger, me).ok().flatten();
        let mut others = before.iter().flat_map(|cosigned| &cosigned.by).filter(|(witness, _)| *witness != me);
        // When it came here, by this machine's clock; that of a witness may be ahead or behind.
        let kept = hither_ledger::cosigned_at(&ledger).unwrap_or(WallTime(0));
        let signed_at = others.next().map(|_| kept.min(wall_now()));
        Self {
            signed_at,
            fruitless: 0,
            ledger,
            own: Arc::new(Mutex::new(Witness::new(witnessed, key))),
            round: None,
            at: Instant::now(),
            began: false,
            known: BTreeMap::new(),
            silent: BTreeSet::new(),
            examining: BTreeSet::new(),
            waiting: BTreeMap::new(),
            kept: (0, 0),
        }
    }

    /// Records of the newest checkpoint that witnesses were asked about.
    fn newest(&self) -> u64 {
        self.round.as_ref().map_or(0, |round| round.checkpoint.size).max(self.kept.1)
    }

    fn is_due(&self, wanted: bool) -> bool {
        let pause = match self.began {
            false => WITNESS_FIRST,
            // Each round reads the ledger: those that bring nothing come less and less often. A word may be lost with a link, and
            // what it would have said, that the ledger is not what it was, must not wait for the next round.
            true if wanted || self.is_unanswered() => WITNESS_EVERY.min(WITNESS_WANTED * (1 << self.fruitless.min(7))),
            true => WITNESS_EVERY,
        };
        self.at.elapsed() >= pause
    }

    /// Whether nobody said a word about the last round's checkpoint: no to it is one, too.
    fn is_unanswered(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.lines.is_empty() && !round.asked.is_empty())
    }

    /// Whether nobody signed the ledger for longer than a policy bears.
    fn is_unsigned(&self, within: Days, now: WallTime) -> bool {
        let bears = u64::from(within.0) * 86_400_000;
        // One that was signed in the future is one of a clock that was put back.
        self.signed_at.is_none_or(|at| now.0.abs_diff(at.0) > bears)
    }

    /// The word of a peer about this node's ledger. Gives what is to be done with it.
    fn heard(&mut self, from: NodeId, word: WitnessWord) -> Heard {
        let Some(round) = self.round.as_mut().filter(|round| round.asked.contains(&from)) else {
            return Heard::Nothing;
        };
        let size = round.checkpoint.size;
        match word {
            WitnessWord::Asked { .. } => Heard::Nothing,
            WitnessWord::Known(known) if known > size => {
                round.asked.remove(&from);
                Heard::Shrunk { from }
            }
            // Once a round: whoever says each time that it knows another size is not asked for ever.
            WitnessWord::Known(known) if round.again.insert(from) => {
                self.known.insert(from, known);
                Heard::Again { from: known }
            }
            WitnessWord::Known(_) => Heard::Nothing,
            WitnessWord::Signed { size: signed, line } => {
                let found = round.checkpoint.check_cosignature(&line, from);
                if signed != size || !found.is_ok_and(|found| found.name == origin_of(from)) {
                    return Heard::Nothing;
                }
                self.known.insert(from, size);
                self.silent.remove(&from);
                self.signed_at = Some(wall_now());
                self.fruitless = 0;
                round.lines.insert(from, line);
                // A checkpoint with fewer witnesses does not take the place of one with more before they had their time.
                match round.lines.len() >= self.kept.0 || round.lines.len() == round.asked.len() {
                    true => Heard::Keep,
                    false => Heard::Nothing,
                }
            }
            WitnessWord::Refused(_) => {
                round.asked.remove(&from);
                Heard::Shrunk { from }
            }
        }
    }
}

/// A checkpoint, and by what the ledger grew to it since it had so many records.
type Question = (String, u64, Vec<[u8; 32]>);

/// What the word of a witness leads to.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// It is asked once more, with what the ledger grew by since this size.
    Again {
        from: u64,
    },
    /// There is a line more to keep.
    Keep,
    /// It knows a longer ledger, or one with another beginning.
    Shrunk {
        from: NodeId,
    },
}

/// Chooses witnesses: at least one of another operator or, failing that, of another country; else by a draw that is the same
/// each time, so that each comes to know one ledger for long; those that were silent last.
fn choose(me: &Member, peers: &[Member], silent: &BTreeSet<NodeId>) -> Vec<NodeId> {
    let draw = |peer: &Member| {
        let mut key = [me.node.0, peer.node.0].concat();
        key.extend_from_slice(b"witness");
        (silent.contains(&peer.node), *blake3::hash(&key).as_bytes())
    };
    let mut peers: Vec<&Member> = peers.iter().collect();
    peers.sort_by_cached_key(|peer| draw(peer));
    let far = |peer: &&Member| peer.operator != me.operator;
    let abroad = |peer: &&Member| peer.jurisdiction.country() != me.jurisdiction.country();
    let place = peers.iter().position(far).or_else(|| peers.iter().position(abroad));
    if let Some(place) = place.filter(|place| *place >= WITNESSES) {
        let other = peers.remove(place);
        peers.insert(WITNESSES - 1, other);
    }
    peers.into_iter().take(WITNESSES).map(|peer| peer.node).collect()
}

/// What is said to a witness: the checkpoint, and what the ledger grew by. `None`: the ledger is not what it was.
fn ask(ledger: &Path, note: &str, from: u64, to: u64) -> std::io::Result<Option<WitnessWord>> {
    let Some(growth) = growth(ledger, from, to)? else { return Ok(None) };
    Ok(Some(WitnessWord::Asked { checkpoint: note.to_owned(), from, growth: growth.hashes().to_vec() }))
}

impl Driver {
    /// Begins a round if it is time.
    pub(crate) fn seek_witnesses(&mut self) {
        let wants = self.wants_witness();
        if self.witnesses.is_due(wants.is_some()) && !self.gave_way {
            self.ask_witnesses();
        }
        self.warnings.retain(|(_, known)| !known.starts_with(UNSIGNED) || Some(known) == wants.as_ref());
        wants.into_iter().for_each(|text| self.warn_once(text));
    }

    /// Whether the policy lets nothing leave because nobody signed the ledger for too long; what to do about it.
    pub(crate) fn wants_witness(&self) -> Option<String> {
        let within = self.policy.witness_within?;
        self.witnesses.is_unsigned(within, wall_now()).then(|| {
            let days = if within.0 == 1 { "day".to_owned() } else { format!("{} days", within.0) };
            format!(
                "{UNSIGNED}nothing leaves this node: its policy wants the signature of another member under its ledger every \
                 {days}, and there is none so new; members are asked every few seconds: hither status shows who is there, and \
                 hither ledger verify who signed when"
            )
        })
    }

    /// Asks peers to sign the checkpoint as it is now. Gives how many.
    pub(crate) fn ask_witnesses(&mut self) -> usize {
        let here = self.home.me.clone();
        let view = self.view.borrow();
        let nodes = view.nodes.iter().filter(|node| matches!(node.presence, PresenceView::Present));
        let nodes = nodes.map(|node| &node.member).filter(|member| !self.endpoints.contains_key(&member.node));
        // A word to whom there is no link, or to a program that does not know it, would be dropped unheard.
        let hears = |node: NodeId| self.mesh.is_linked(node) && self.swarm.speaks(node) >= WITH_WITNESSES;
        let nodes = nodes.filter(|member| hears(member.node));
        let peers: Vec<Member> = nodes.filter(|member| member.node != here.node).cloned().collect();
        drop(view);
        let chosen = choose(&here, &peers, &self.witnesses.silent);
        if chosen.is_empty() {
            return 0;
        }
        let count = chosen.len();
        if let Some(last) = self.witnesses.round.take() {
            self.witnesses.silent.extend(last.asked.iter().filter(|peer| !last.lines.contains_key(peer)));
            if peers.iter().all(|peer| self.witnesses.silent.contains(&peer.node)) {
                self.witnesses.silent.clear();
            }
            self.keep_round(&last);
        }
        (self.witnesses.at, self.witnesses.began) = (Instant::now(), true);
        self.witnesses.fruitless = self.witnesses.fruitless.saturating_add(1);
        let known: Vec<(NodeId, u64)> =
            chosen.into_iter().map(|peer| (peer, self.witnesses.known.get(&peer).copied().unwrap_or(0))).collect();
        let (ledger, me, inbox) = (self.witnesses.ledger.clone(), here.node, self.inbox.clone());
        self.hands.spawn_blocking(move || {
            let round = || {
                let (note, checkpoint) = hither_ledger::checkpoint(&ledger, me)?;
                let mut words = Vec::new();
                for (peer, from) in &known {
                    words.extend(ask(&ledger, &note, *from, checkpoint.size)?.map(|word| (*peer, word)));
                }
                let asked = known.iter().map(|(peer, _)| *peer).collect();
                Ok::<_, std::io::Error>((
                    Round { note, checkpoint, asked, lines: BTreeMap::new(), again: BTreeSet::new() },
                    words,
                ))
            };
            let news = match round() {
                Ok((round, words)) => WitnessNews::Round(Box::new(round), words),
                // Nothing is written yet, or the ledger is damaged, which is said elsewhere.
                Err(error) => return tracing::debug!(%error, "no witness is asked"),
            };
            // A closed inbox means that the node is stopping.
            let _ = inbox.blocking_send(Inbound::Witness(news));
        });
        count
    }

    /// Something about witnesses was found out.
    pub(crate) fn witness_news(&mut self, news: WitnessNews) {
        match news {
            // One that was begun before another and ended after it is told to nobody.
            WitnessNews::Round(round, _) if self.witnesses.newest() > round.checkpoint.size => {}
            WitnessNews::Round(round, words) => {
                self.witnesses.round = Some(*round);
                for (peer, word) in words {
                    self.swarm.send(peer, PeerMessage::Witness(word));
                }
            }
            WitnessNews::Say(peer, word) => self.swarm.send(peer, PeerMessage::Witness(word)),
            WitnessNews::Examined(of, examined) => {
                self.witnesses.examining.remove(&of);
                if let Some(examined) = examined {
                    self.swarm.send(of, PeerMessage::Witness(examined.reply));
                    examined.alarm.into_iter().for_each(|text| self.warn_once(text));
                }
                if let Some(next) = self.witnesses.waiting.remove(&of) {
                    self.be_witness(of, next);
                }
            }
        }
    }

    /// A peer speaks of its own ledger, or of this node's.
    pub(crate) fn heard_of_witnesses(&mut self, from: NodeId, word: WitnessWord) {
        if let WitnessWord::Asked { checkpoint, from: size, growth } = word {
            return self.be_witness(from, (checkpoint, size, growth));
        }
        match self.witnesses.heard(from, word) {
            Heard::Nothing => {}
            Heard::Keep => {
                if let Some(round) = self.witnesses.round.take() {
                    self.keep_round(&round);
                    self.witnesses.round = Some(round);
                }
            }
            Heard::Again { from: size } => {
                let Some(round) = &self.witnesses.round else { return };
                let (ledger, note, to) = (self.witnesses.ledger.clone(), round.note.clone(), round.checkpoint.size);
                let inbox = self.inbox.clone();
                self.hands.spawn_blocking(move || match ask(&ledger, &note, size, to) {
                    Ok(Some(word)) => {
                        // A closed inbox means that the node is stopping.
                        let _ = inbox.blocking_send(Inbound::Witness(WitnessNews::Say(from, word)));
                    }
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%error, "the ledger cannot be read for its witness"),
                });
            }
            Heard::Shrunk { from } => self.warn_once(format!(
                "node {} says that it signed the ledger of this node when it was longer, or had another beginning: if that is so it was \
                 put back from a copy, or changed. Type hither ledger verify; what left since is in the ledgers of others \
                 (hither audit reconcile)",
                from.short()
            )),
        }
    }

    /// Looks at the ledger of a peer, and signs it if it only grew.
    fn be_witness(&mut self, of: NodeId, question: Question) {
        if self.witnesses.examining.contains(&of) {
            self.witnesses.waiting.insert(of, question);
            return;
        }
        // When many ask, nobody tells the others to wait: they come again by themselves.
        if self.witnesses.examining.len() >= EXAMINED_AT_ONCE {
            return;
        }
        self.witnesses.examining.insert(of);
        let (note, size, growth) = question;
        let (own, inbox) = (Arc::clone(&self.witnesses.own), self.inbox.clone());
        self.hands.spawn_blocking(move || {
            let examined =
                own.lock().unwrap_or_else(PoisonError::into_inner).examine(of, &note, size, &growth, wall_now());
            let examined = examined.unwrap_or_else(|error| {
                tracing::warn!(%error, "the ledger of {} is not signed", of.short());
                None
            });
            // A closed inbox means that the node is stopping.
            let _ = inbox.blocking_send(Inbound::Witness(WitnessNews::Examined(of, examined)));
        });
    }

    fn keep_round(&mut self, round: &Round) {
        if round.lines.is_empty() || self.witnesses.kept == (round.lines.len(), round.checkpoint.size) {
            return;
        }
        let lines = round.lines.iter().map(|(peer, line)| (*peer, line.as_str()));
        match keep_cosigned(&self.witnesses.ledger, &round.note, lines) {
            Ok(()) => self.witnesses.kept = (round.lines.len(), round.checkpoint.size),
            Err(error) => tracing::warn!(%error, "what witnesses signed cannot be kept"),
        }
    }
}
