//! What members say of starts: whether this node's key runs on another machine, too, and what their clocks show.

use hither_api::door::Answer;
use hither_core::Event;
use hither_core::membership::Sign;
use hither_swarm::Isolation;
use hither_types::id::NodeId;
use hither_types::message::{PeerMessage, Start, StartWord};
use hither_types::refusal::Refusal;

use crate::clock::{Jump, span};
use crate::driver::{Driver, Inbound};
use crate::limits::{TWIN_FAREWELL, TWIN_GONE};
use crate::trust::wall_now;
use crate::twins::Twin;

impl Driver {
    pub(super) fn heard_start(&mut self, from: NodeId, word: StartWord) {
        let heard = self.twins.hear(from, word, &self.home.key, wall_now());
        for reply in heard.replies {
            self.swarm.send(from, PeerMessage::Start(reply));
        }
        if let Some(ahead_ms) = heard.ahead_ms {
            let change = self.clocks.told(from, ahead_ms);
            if let Some(over) = change.over {
                self.warnings.remove(&(None, over));
            }
            if let Some(new) = change.new {
                self.warn(None, new);
            }
        }
        match heard.twin {
            None => {}
            Some(Twin::Later(start)) => self.outlast(start),
            Some(Twin::Earlier(start)) => self.give_way(start),
        }
    }

    /// A program with this node's key was started after this one: this one goes on.
    fn outlast(&mut self, start: Start) {
        self.warn_once(
            "key-in-use: another program runs with the key of this node on another machine: its data directory was copied. \
             This one was started before it and goes on, the other refuses to serve. Stop the other; a machine of its own \
             joins by hither invite, with a new data directory"
                .to_owned(),
        );
        if self.outlasted.replace(start) == Some(start) {
            return;
        }
        // What members heard of the other has the larger number: they would take this one's word for an old one.
        self.rise_above(start.incarnation);
        let inbox = self.inbox.clone();
        self.hands.spawn(async move {
            tokio::time::sleep(TWIN_GONE).await;
            // A closed inbox means that the node is stopping.
            let _ = inbox.send(Inbound::Outlasted).await;
        });
    }

    /// The other has left by now. What members asked of either while both were there failed by turns: to them this is a
    /// new start, which nobody blames for that.
    pub(crate) fn rise_above(&mut self, incarnation: u64) {
        match self.home.incarnation_above(incarnation) {
            Ok(incarnation) => {
                self.incarnation = incarnation;
                self.sign(Sign::Reborn(incarnation));
            }
            Err(error) => self.warn(None, format!("the number of this start cannot be written: {error}")),
        }
    }

    /// A program with this node's key was started before this one: this one serves nobody from now on.
    fn give_way(&mut self, start: Start) {
        if std::mem::replace(&mut self.gave_way, true) {
            return;
        }
        let since = span(wall_now().0.saturating_sub(start.at.0));
        self.warn(
            None,
            format!(
                "E0214 key-in-use: another program runs with the key of this node on another machine, for {since} by its \
                 clock: this data directory was copied. This one was started after it, and serves nobody. Stop it; a \
                 machine of its own joins by hither invite, with a new data directory. If the other is the wrong one, stop \
                 that, and start this one again"
            ),
        );
        for (request, session) in std::mem::take(&mut self.sessions) {
            session.end();
            // A client whose channel is full finds it closed.
            let _ = session.say(Answer::Refused(Refusal::KeyInUse));
            self.feed(Event::ClientGone(request));
        }
        let swarm = self.swarm.clone();
        self.hands.spawn(async move {
            tokio::time::sleep(TWIN_FAREWELL).await;
            swarm.isolate(Isolation::Isolated);
        });
    }

    /// The wall clock of this machine jumped: it is on the record, and whose certificate has ended by it is looked at.
    pub(crate) fn clock_jumped(&mut self, jump: Jump) {
        let Jump { expected, found } = jump;
        self.record(None, hither_types::fact::Fact::ClockJumped { expected, found });
        self.look_at_standing();
    }
}
