//! Bugs planted by hand, one at a time, to see that the simulator finds each: `cargo xtask mutants-core`.
//!
//! Compiled with the feature `mutants` alone, which nothing that ships turns on. The bug in force is one number for the
//! whole process: the mind itself knows no globals, but a switch in `Config` would be there in the product too.

use std::sync::atomic::{AtomicU32, Ordering};

/// Whether a bug is planted.
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutant::Mutant::$name.is_planted()
    };
}

/// The bug in force, plus one; 0 is none.
static PLANTED: AtomicU32 = AtomicU32::new(0);

/// Plants a bug instead of the one before; with `None` there is none.
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.store(mutant.map_or(0, |mutant| mutant as u32 + 1), Ordering::Relaxed);
}

macro_rules! mutants {
    ($($name:ident: $aim:literal, $breaks:literal;)*) => {
        /// A bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $(#[doc = $breaks] $name,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What it is aimed at: an invariant of the observer, or `live` for what only a bound can see.
            pub fn aim(self) -> &'static str {
                match self {
                    $(Self::$name => $aim,)*
                }
            }

            /// What is broken, in a sentence.
            pub fn breaks(self) -> &'static str {
                match self {
                    $(Self::$name => $breaks,)*
                }
            }

            /// Whether it is the one in force.
            pub fn is_planted(self) -> bool {
                PLANTED.load(Ordering::Relaxed) == self as u32 + 1
            }
        }
    };
}

mutants! {
    DeadlineNotWatched: "I1", "no timer ends a request at its deadline";
    EndsTwice: "I2", "a request that needed a second attempt fails, and then ends as it should";
    SecondRouteUntold: "I2", "the client is told where the first attempt runs, and not where a later one does";
    LawSkipped: "I3", "the gate of the law lets everything through";
    CircleForgetsLabel: "I3", "a circle that was drawn for one label serves requests of every label";
    AnyCircleWillDo: "I3", "what waits is given away by the circle of whatever was asked for first";
    OldCirclesKept: "I3", "circles that were drawn under an older law stay in use";
    LawNotAskedBeforeLeaving: "I3", "the law is not asked again between the offer and the payload";
    LawNotAskedBeforeAccepting: "I3", "the receiver does not ask the law again once the acceptance is on its record";
    ReceiverJudgesItself: "I3", "the receiver asks the law as if the request had entered at its own door";
    OwnNotJudgedAnew: "I3", "a new law does not stop what runs for this node, here or elsewhere";
    HostedNotJudgedAnew: "I3", "a new law does not stop what runs here for peers";
    StandInUnjudged: "I3", "a smaller model is judged under the name of the model that it stands in for";
    CopiesUnlawfully: "I3", "a model is fetched from whoever holds it, lawful or not";
    PowerHalved: "I4", "a busy slot counts for half the power that it takes";
    CapChangesNothing: "I4", "a lower cap stops nothing that runs";
    OneSlotTooMany: "I4", "an engine is given one task more than it has slots";
    BusyLeaks: "I4", "the slot of a task of normal priority stays busy after its end";
    KeptNotCounted: "I4", "a slot that is kept for a peer is given to others too";
    KeptForEver: "I4", "a slot that is kept for an accepted offer waits for it for ever";
    BeggedForEver: "I4", "a slot that is kept for stolen work waits for it for ever";
    KeptLeaks: "I4", "a task that ends while its acceptance is written leaves its slot kept";
    OwnRunNotStopped: "I5", "the engine here is not told to stop what its client left";
    CancelledRunsOn: "I5", "the engine here is not told to stop what its peer left";
    NeverAbandons: "I5", "a peer is not told that nobody waits for its answer any more";
    TriedForgotten: "I5", "a place that failed is tried again";
    AttemptsUnbounded: "I5", "a request may be tried at any number of places";
    LateStarts: "I6", "a request starts although its deadline has passed";
    LateLeaves: "I6", "a request leaves although its deadline has passed";
    LoadsBeforeStored: "I8", "a model is opened while it is still being fetched";
    LostEngineTrusted: "I8", "work starts on an engine that is gone";
    QualityUnasked: "I8", "a smaller model answers whether the caller allows it or not";
    IncarnationForgotten: "I9", "a node that starts again tells of itself as in its first life";
    SequenceStands: "I9", "each presence has the number of the one before";
    EnvelopeChanged: "I10", "the size in the envelope changes on its way out";
    ForwardBeforeRecorded: "P2", "a request leaves before its egress is on the record";
    EgressFailureIgnored: "P2", "a request leaves although its egress could not be recorded";
    OnlyAnswersSettled: "P2", "an egress that ends without an answer is never settled on the record";
    AcceptedBeforeRecorded: "P2", "a task of a peer is accepted and runs before its ingress is on the record";
    IngressFailureIgnored: "P2", "a task of a peer is accepted although its ingress could not be recorded";
    ClientGoneUnheard: "I5", "what a client left goes on to its end";
    LoserRunsOn: "I5", "the copy that did not answer first is not told to stop";
    HedgesSpecial: "I5", "a second copy is made of data that must not be doubled";
    HedgeBeforeRecorded: "P2", "a second copy leaves before its egress is on the record";
    HedgesUnpaid: "live", "second copies cost no budget";
    NeverProbes: "live", "nobody is asked whether a slot is free";
    NeverGivesAway: "live", "a peer that asks for waiting work is told that there is none";
    SeekTimerLost: "live", "while requests wait, nobody is asked again";
    DeclinedForEver: "live", "a peer that once had no room is never asked again";
    SilentForEver: "live", "a peer that once fell silent is never asked again";
    SilenceNoticedByNobody: "live", "an attempt on a peer that fell silent is never given up";
    SilenceTenfold: "live", "silence is noticed after ten times as long";
    BeatsIgnored: "live", "beats do not count as life";
    RetriesUnpaid: "live", "second tries cost no budget";
    EndlessPatience: "live", "a request may wait in the queue for all the time that it has";
    PromiseIgnored: "live", "a peer's request is accepted however much longer it will wait than was thought";
    CriticalWaitsItsTurn: "live", "critical requests stand in line with all others";
    CriticalWaitsForWatts: "live", "nothing is stopped for critical work that lacks the power";
    OwnUsesForgotten: "live", "what was sent to a peer is not counted against what it said";
    BestOfAll: "live", "everybody goes to the best place by what all were told, instead of the better of two";
    MemoryUnbounded: "M1", "a model is opened whether there is memory for it or not";
    EvictsTheBusy: "M1", "a model is closed while work runs on it";
    NeverWarms: "live", "a cold model that work waits for is not opened when there is room again";
    NeverWakes: "live", "nobody is asked to open a model that is on its disk";
    NeverReloads: "live", "a model whose engine was lost is not opened again";
}
