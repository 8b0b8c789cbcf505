//! The rows: each a fault, what is expected, and how both are played.

use std::time::Duration;

use super::Lab;

mod crash;
mod cut;
mod data;
mod many;
mod nat;
mod near;
mod release;
mod slow;
mod trust;

/// A row that can be played.
pub(super) struct Row {
    pub(super) number: &'static str,
    pub(super) fault: &'static str,
    pub(super) expected: &'static str,
    pub(super) how: &'static str,
    /// What is done differently when it has to fail.
    pub(super) broken: &'static str,
    /// What the program has not yet that the row needs: then it is no fault that the row does not hold.
    pub(super) lacks: Option<&'static str>,
    /// Plays it: what was observed if it held, or what did not hold.
    pub(super) play: fn(&Lab) -> Result<String, String>,
}

/// A model that speaks 50 words a second.
const TALKER: &str = "token_us=20000 length=4000 slots=8";

/// Says what was expected and what was there, if they differ.
fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn seconds(span: Duration) -> String {
    format!("{:.2} s", span.as_secs_f64())
}

fn most(spans: &[Duration]) -> Duration {
    spans.iter().copied().max().unwrap_or_default()
}

/// All rows that can be played.
pub(super) const ROWS: &[Row] = &[
    Row {
        number: "1",
        fault: "kill -9 of the serving peer before its first token",
        expected: "retried elsewhere ≤ 1 s; one whole answer; 2 attempts in the ledger",
        how: "three sites, a prompt that takes 1.5 s to read",
        broken: "the other holder is killed too",
        lacks: None,
        play: crash::before_the_first_token,
    },
    Row {
        number: "2",
        fault: "kill -9 of the serving peer in the middle of a stream",
        expected: "no word lost, doubled or changed; pause ≤ 1 s; 1 migration told",
        how: "killed after 1, 2, 5, 10, 20, 40 and 79 of 80 words",
        broken: "the other holder is killed too",
        lacks: None,
        play: crash::in_the_middle,
    },
    Row {
        number: "3",
        fault: "kill -9 of the origin",
        expected: "the client's connection ends; the peer cancels ≤ 2 s; a job goes on after the restart; the ledger verifies",
        how: "killed at moments drawn from the seed",
        broken: "the origin is not killed",
        lacks: None,
        play: crash::origin,
    },
    Row {
        number: "4",
        fault: "partition of a site",
        expected: "it serves what it holds as before; both sides show the other as gone ≤ 5 s; it heals without a restart, without ghosts",
        how: "its link is cut both ways for 15 s",
        broken: "the link is not cut",
        lacks: None,
        play: cut::partition,
    },
    Row {
        number: "5",
        fault: "asymmetric partition: from A to B lost, from B to A not",
        expected: "gone for both ≤ 5 s; a stream that ran over it is whole, with a pause ≤ 5 s; B's work for it ends ≤ 5 s",
        how: "dropped one way in the core, during a stream",
        broken: "nothing is dropped",
        lacks: None,
        play: cut::one_way,
    },
    Row {
        number: "6",
        fault: "not transitive: A–B and B–C work, A–C does not",
        expected: "A says no within 10 s while only C holds the model, and uses B once B does; nobody flaps",
        how: "dropped both ways in the core",
        broken: "A–B is dropped as well",
        lacks: None,
        play: cut::not_transitive,
    },
    Row {
        number: "A1",
        fault: "the address of a machine changes during a stream: the peer's, then the origin's",
        expected: "each stream whole and where it began; three of four pauses ≤ 1 s, each ≤ 2 s; all see all ≤ 5 s after each change",
        how: "its address is taken and another one given, as by a new lease; nodes listen on all addresses",
        broken: "the origin gets no other address",
        lacks: None,
        play: cut::readdressed,
    },
    Row {
        number: "7",
        fault: "a frozen peer, and a peer whose engine is frozen while it beats",
        expected: "migrated after ≤ 1 s, and ≤ 3 s; whole; back without a restart",
        how: "kill -STOP of the node, then of its worker; kill -CONT",
        broken: "both holders are frozen",
        lacks: None,
        play: slow::frozen,
    },
    Row {
        number: "8",
        fault: "loss 1, 5, 20 %; 20–300 ms; jitter; reordering; 1 Mbit/s",
        expected: "whole streams; no ejection at ≤ 5 %; a file at ≥ half the rate of TCP (Reno) at 5 %",
        how: "the shape of both links is changed while they run",
        broken: "all packets are lost",
        lacks: None,
        play: slow::lossy,
    },
    Row {
        number: "9",
        fault: "packets above 1280 bytes vanish silently",
        expected: "a running connection and a new one both carry a prompt of 60 kB within 10 s",
        how: "the link swallows them from some moment on, then the peer is restarted",
        broken: "those above 600 bytes vanish",
        lacks: None,
        play: slow::narrow,
    },
    Row {
        number: "11",
        fault: "a corrupt piece of a model from a peer; a flipped byte on the disk",
        expected: "the piece is rejected, the peer is named, the file comes whole from another; a damaged file is never opened",
        how: "a byte of a peer's store is flipped; it is fetched, then the peer is restarted",
        broken: "no byte is flipped",
        lacks: None,
        play: data::corrupt,
    },
    Row {
        number: "17",
        fault: "clock skew of ±2 days, and a jump during a stream",
        expected: "requests both ways as before, a stream whole; a record `clock.jump`",
        how: "faketime on one of two nodes; its file is changed while it runs",
        broken: "the clock is left alone",
        lacks: None,
        play: data::clock,
    },
    Row {
        number: "20",
        fault: "restart storm: all nodes at once",
        expected: "every node sees every other ≤ 15 s after the start",
        how: "20 nodes at four sites are killed and started, 5 times",
        broken: "one is not started again",
        lacks: None,
        play: many::storm,
    },
    Row {
        number: "24",
        fault: "a key is revoked during a stream that runs there",
        expected: "the stream goes on elsewhere ≤ 1 s, whole; every node has closed its connections to the revoked one ≤ 10 s; it is asked no more, and its certificate is refused after a restart",
        how: "hither member revoke at the founder, which is not the origin",
        broken: "the founder is cut off first",
        lacks: None,
        play: trust::revoked,
    },
    Row {
        number: "25",
        fault: "two nodes with one identity",
        expected: "both notice ≤ 10 s, the newer refuses to serve and says why",
        how: "the data directory is copied to another site and started there",
        broken: "the copy is not started",
        lacks: None,
        play: many::copied,
    },
    Row {
        number: "S1",
        fault: "a key is stolen and used from another continent",
        expected: "special data, for which a rule wants assurance 2, are never worked on there; every other member is warned by name, \
                   with both round trips and what to type, ≤ 60 s after its start; it is on the record",
        how: "a node of four is stopped, its data directory copied to a machine 130 ms away and started there",
        broken: "the machine is as near as the one before",
        lacks: None,
        play: near::stolen,
    },
    Row {
        number: "J1",
        fault: "a member that joined while it ran is started again",
        expected: "it serves its peers as before",
        how: "stopped by SIGTERM and started on the same directory, once it is a member",
        broken: "it is not started again",
        lacks: None,
        play: many::started_again,
    },
    Row {
        number: "J2",
        fault: "the only other holder of a model is killed and started again at once",
        expected: "once it is ready and shown as there, the first request to it is answered ≤ 1 s",
        how: "kill -9, start, ask; 5 times",
        broken: "it is not started again",
        lacks: None,
        play: many::back_at_once,
    },
    Row {
        number: "N1",
        fault: "three machines behind two NATs, and nobody else's servers",
        expected: "each joins with one `hither invite` and one `hither join`, each serves every other, and those at different \
                   sites go on without the relay",
        how: "the founder and another behind one masquerade, the third behind another; `hither relay` on a machine with a \
              public address, named in the founder's configuration and let in like any member",
        broken: "the founder's link is cut",
        lacks: None,
        play: nat::two_nats,
    },
    Row {
        number: "N2",
        fault: "the same without that machine, and the founder's router forwards two ports",
        expected: "each joins with one invite and one join, each serves every other, and the founder goes on with the hidden \
                   one without the relay; the other two stay on it, for it sees the one of them from inside its router",
        how: "rules of the router send UDP 7000, and UDP and TCP 7844, to the founder, which advertises the outer addresses \
              and has a relay (`[mesh.relay]`)",
        broken: "the founder's link is cut",
        lacks: None,
        play: nat::forwarded,
    },
    Row {
        number: "N3",
        fault: "a founder with a public address, and one machine behind each of two NATs",
        expected: "both join, each serves every other, and the two hidden ones go on without the relay",
        how: "masquerade at two sites, none at the founder's, which has a relay (`[mesh.relay]`)",
        broken: "the founder's link is cut",
        lacks: None,
        play: nat::public_founder,
    },
    Row {
        number: "N4",
        fault: "the same; only pairs with the founder are asked for",
        expected: "each of the two serves the founder and is served by it, also after 40 s of silence of its clients",
        how: "as N3, and nobody has a relay",
        broken: "the founder's link is cut",
        lacks: None,
        play: nat::pairs_with_the_founder,
    },
    Row {
        number: "21",
        fault: "rolling upgrade N−1→N→N−1",
        expected: "no request is dropped: each that a node took is answered whole; both programs serve each other; all see all after \
                   each step",
        how: "three nodes of the release before, each with a client of its own that asks without pause; one after another is \
              stopped and started as the new program, and then as the old one",
        broken: "the holders are killed, both at once, instead of stopped one after the other",
        lacks: None,
        play: release::rolled,
    },
    Row {
        number: "N5",
        fault: "as N3, behind NATs that draw a port for each destination",
        expected: "both join, and each serves every other; the two hidden ones stay on the relay, for no other path can be found",
        how: "masquerade fully-random at two sites, none at the founder's, which has a relay (`[mesh.relay]`)",
        broken: "the founder's link is cut",
        lacks: None,
        play: nat::behind_drawn_ports,
    },
];
