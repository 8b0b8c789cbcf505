//! Every bound of this crate, each with the reason for its number.

use std::time::Duration;

/// A dial that takes longer has no one at the other end: a dead host sends no answer, and QUIC alone waits 30 s.
pub(crate) const DIAL: Duration = Duration::from_millis(1500);
/// The first pause after a failed dial on behalf of small talk.
pub(crate) const REDIAL_MIN: Duration = Duration::from_millis(200);
/// The longest such pause: a peer that comes back is seen within it even if it cannot dial us.
pub(crate) const REDIAL_MAX: Duration = Duration::from_secs(5);
/// The longest time in which a request to a peer that just failed to answer a dial is refused without a new dial.
pub(crate) const ASK_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How often a connection of requests or files is kept alive, by whoever made it. Lost packets are sent again well within it, so three of these without a packet are
/// not chance, at 20 % loss either.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_millis(400);
/// Silence after which a path is given up, if there is another: three times [`KEEP_ALIVE`].
pub(crate) const PATH_IDLE: Duration = Duration::from_millis(1200);
/// Silence after which a connection is given up, and with it the work for whoever is silent: that shall end within two
/// seconds. Longer than a path's, so that one that takes its place is found in time.
pub(crate) const IDLE: Duration = Duration::from_millis(1800);
/// The same of small talk, and of whoever was dialled. Neighbours call each other oftener, and whoever hears them judges by
/// that; five seconds is the longest that the transport allows.
pub(crate) const TALK_KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A link that was cut for less than this goes on when it heals.
pub(crate) const TALK_PATH_IDLE: Duration = Duration::from_secs(11);
/// Longer than a path's, as above.
pub(crate) const TALK_IDLE: Duration = Duration::from_secs(12);
/// Members whose paths are kept in mind from one choice to the next: as many as are linked at once, and more.
pub(crate) const PATHS_KNOWN: usize = 2_048;
/// A link that nobody wants to stand ends after so long without a signal.
pub(crate) const UNUSED: Duration = Duration::from_secs(30);
/// A connection for requests ends after so long without one.
pub(crate) const ASK_UNUSED: Duration = Duration::from_secs(60);
/// Whoever sent a signal waits for its answer no longer than this.
pub(crate) const SIGNAL_LIFE: Duration = Duration::from_secs(1);
/// Requests that one peer may have open on one connection.
pub(crate) const STREAMS: u32 = 1024;

/// Events that wait for the driver. When they are this many, peers are read more slowly.
pub(crate) const EVENTS: usize = 1024;
/// Messages that wait for one peer; the oldest is dropped, and presence replaces older presence.
pub(crate) const OUTBOX: usize = 64;
/// Signals that wait for one peer; the oldest is dropped. A few hundred are said in a second, and after a second nobody
/// waits for one any more.
pub(crate) const SIGNALS: usize = 256;
/// How much a stream of signals goes before the other small talk of its connection.
pub(crate) const SIGNALS_FIRST: i32 = 1;
/// How often a start of a node that shows itself at another address has to come again before it is heard as it comes.
pub(crate) const MOVED_MAX: u32 = 2;
/// A link that ended sooner than this after the dial is not dialled again at once.
pub(crate) const LINK_HELD: Duration = Duration::from_secs(1);
/// Links that are made anew at once are so far apart.
pub(crate) const RENEWED_APART: Duration = Duration::from_millis(5);
/// A peer that was dialled must show within this time that it wants to talk.
pub(crate) const LINK_PROOF: Duration = Duration::from_secs(3);
/// A connection must say within this time, or in so many round trips, to which start of the other program it belongs, once
/// a newer start has shown itself. A live one does so with its first packet; a lost packet is sent again in that time.
pub(crate) const START_TOLD: Duration = Duration::from_millis(250);
pub(crate) const START_TOLD_TRIPS: u32 = 4;
/// How often a round trip is reported.
pub(crate) const ROUND_TRIP: Duration = Duration::from_secs(1);

/// The head of a request, payload included, must have arrived in this time.
pub(crate) const ASK_HEAD: Duration = Duration::from_secs(30);
/// Heads of requests that are read at once, over all peers: bounds the memory that half-sent requests take.
pub(crate) const ASK_HEADS: usize = 64;
/// How long the last frame of an answer may take to be acknowledged.
pub(crate) const ANSWER_FLUSH: Duration = Duration::from_secs(2);

/// Hellos that are answered at once.
pub(crate) const HELLOS: usize = 8;
/// Strangers that may be about to say hello, and those of one address: one that says nothing keeps nobody else out.
pub(crate) const HEARD: usize = 128;
/// See [`HEARD`].
pub(crate) const HEARD_OF_ONE: usize = 8;
/// How long a hello may take, from the connection to its last byte.
pub(crate) const HELLO: Duration = Duration::from_secs(5);
/// Handshakes with members under way at once. Above it, newcomers are ignored; they will send their first packet again.
pub(crate) const HANDSHAKES: usize = 256;
/// The same of strangers.
pub(crate) const STRANGERS: usize = 128;
/// Handshakes that strangers may begin in a second: a tenth of one processor.
pub(crate) const STRANGERS_A_SECOND: u32 = 100;
/// Those that they may begin at once after a time without any: a site's nodes that come back to one that forgot them.
pub(crate) const STRANGERS_AT_ONCE: u32 = 200;
/// Handshakes from members' addresses under way, above which a sender must show that it is where it says.
pub(crate) const UNPROVED: usize = 32;

/// The smallest part of a file that is asked for at once.
pub(crate) const PIECE_MIN: u64 = 1 << 20;
/// The largest. A crash loses at most the parts in flight.
pub(crate) const PIECE_MAX: u64 = 4 << 20;
/// Parts in flight per provider, so that a long path is filled.
pub(crate) const LANES: usize = 2;
/// A provider that sends nothing for this long is dropped.
pub(crate) const PIECE_STALL: Duration = Duration::from_secs(5);
/// A part in flight for this long is also asked of an idle provider.
pub(crate) const PIECE_SLOW: Duration = Duration::from_secs(2);
/// Parts of files that are read and proved for peers at once.
pub(crate) const SERVING: usize = 8;
/// Words about chunks that wait for one member. Whoever is behind by so many tells and is told everything anew.
pub(crate) const CHUNK_WORDS: usize = 8192;
/// Streams of one partner at once: its words, and what it may have asked for.
pub(crate) const CHUNK_STREAMS: usize = 64;
/// Bytes of a chunk that are handed to the transport at once.
pub(crate) const CHUNK_WRITE: usize = 64 << 10;
/// How long a chunk may wait for its first byte, or for the word that all of it was read: those before it go over the same
/// line, which may be a slow one, and it may be on its way to the giver itself. A dead end is noticed by its connection.
pub(crate) const CHUNK_BEGINS: Duration = Duration::from_secs(300);
/// How long no byte of it may come, or be taken, after that.
pub(crate) const CHUNK_STALL: Duration = Duration::from_secs(10);
/// The largest file. Above it, a length is a mistake or an attack.
pub(crate) const FILE_MAX: u64 = 1 << 44;

/// A dial over a relay may have to connect to the relay first: TCP, TLS and its greeting take six round trips.
pub(crate) const DIAL_RELAYED: Duration = Duration::from_secs(5);
/// Connections to this relay that have not said who they are yet. Above it, newcomers wait in the queue of the system.
pub(crate) const RELAY_HANDSHAKES: usize = 64;
/// How long such a connection may take.
pub(crate) const RELAY_HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the relay waits after a connection that the system did not give: it is out of files, and some will be freed.
pub(crate) const RELAY_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections of one node to this relay: one, another while it changes its network, and some that are not noticed as dead.
pub(crate) const RELAY_CONNECTIONS: usize = 8;
/// Nodes on this relay that are no members: joiners, each for a moment.
pub(crate) const RELAY_GUESTS: usize = 16;
/// How long a guest may stay: a hello takes seconds, and the person who types it is waiting.
pub(crate) const RELAY_GUEST: Duration = Duration::from_secs(60);
/// How long the driver may take to look at a pass.
pub(crate) const RELAY_GUEST_ANSWER: Duration = Duration::from_secs(2);
/// How often the relay looks for those whose time is over.
pub(crate) const RELAY_SWEEP: Duration = Duration::from_secs(1);
/// Public keys that the relay keeps in their unpacked form: as many as a large mesh has members.
pub(crate) const RELAY_KEYS: usize = 1024;
/// How often a number is looked for that is free over TCP and UDP, if any will do.
pub(crate) const RELAY_PORT_TRIES: u32 = 16;

/// How often a network is asked who is there. Whoever is asked answers within the second, and others with it: five to ten
/// small packets in this time, however many members there are.
pub(crate) const LAN_EVERY: Duration = Duration::from_secs(5);
/// Answers in a second that a network is asked for.
pub(crate) const LAN_ANSWERS_PER_S: f32 = 1.0;
/// Announcements that wait to be looked at. Others are lost: they are made again.
pub(crate) const LAN_WAITING: usize = 64;
/// Addresses of one node that are announced and looked at: a machine with more networks than this is found by some of them.
pub(crate) const LAN_ADDRESSES: usize = 8;
/// What is announced for a member changes no oftener than this: each change is dialled.
pub(crate) const LAN_CHANGE: Duration = Duration::from_secs(1);
/// Names that are no member's and are kept apart. Beyond them somebody makes them up: what was kept is forgotten, and
/// nothing is heard for a while.
pub(crate) const LAN_STRANGERS: usize = 256;
/// How long that while is, and how long after a failure it is tried again.
pub(crate) const LAN_PAUSE: Duration = Duration::from_secs(30);

/// Round trips that one ping measures at most.
pub(crate) const PINGS: u32 = 100;
/// A round trip that takes longer is lost.
pub(crate) const PING: Duration = Duration::from_secs(2);
