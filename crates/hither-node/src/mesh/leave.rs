//! Leaving a mesh for good: said in the authority log, so that those who are away hear of it, too.

use hither_api::door::{CommandDone, CommandError};
use hither_types::authority::Statement;
use hither_types::fact::{Counterpart, Fact};
use hither_types::place::PlaceKind;

use super::standing::refuse;
use crate::driver::{CommandReply, Driver, Inbound};
use crate::limits::FAREWELL;
use crate::trust::wall_now;

impl Driver {
    /// Says that this node leaves; it has left a moment later, once the others had the time to hear it.
    pub(crate) fn leave(&mut self, reply: CommandReply) {
        if let Err(error) = self.say_farewell() {
            // Whoever asked may have left.
            let _ = reply.send(Err(error));
            return;
        }
        let inbox = self.inbox.clone();
        self.hands.spawn(async move {
            tokio::time::sleep(FAREWELL).await;
            // A closed inbox means that the node is stopping.
            let _ = inbox.send(Inbound::Leave(reply)).await;
        });
    }

    fn say_farewell(&mut self) -> Result<(), CommandError> {
        if self.home.is_founder() {
            return Err(refuse(
                "E0215",
                "the founder cannot leave its mesh: nobody else could appoint or dismiss those who let others in",
                "to end a mesh: hither member revoke for each of the others, then start this node on a new data directory",
            ));
        }
        if self.home.is_issuer() {
            return Err(refuse(
                "E0215",
                "this node lets others in, and whom it let in would go with it",
                "hither authority dismiss, at the founder: those whom this node let in stay; then hither leave",
            ));
        }
        if self.home.authority.quorum().approvers.contains(&self.home.me.node) {
            return Err(refuse(
                "E0215",
                "this node approves what the founder proposes, and nothing could be changed without it",
                "hither authority quorum without it, at the founder; then hither leave",
            ));
        }
        if self.leaving || self.home.is_revoked() {
            return Err(refuse("E0215", "this node is no member any more, or leaves already", "hither status"));
        }
        let linked = self.mesh.linked();
        if linked.is_empty() {
            return Err(refuse(
                "E0216",
                "no other member is there to hear that this node leaves, and all would go on to wait for it",
                "hither leave, once hither status shows one; or hither member revoke, at the founder",
            ));
        }
        let certificate = self.home.certificate.clone();
        let stated = self.home.authority.state(&self.home.key, Statement::Leave { certificate }, wall_now());
        stated.map_err(|error| {
            refuse("E0212", &format!("the authority log does not take it: {error}"), "hither authority")
        })?;
        self.leaving = true;
        for peer in linked {
            self.tell_authority(peer);
        }
        Ok(())
    }

    /// The others had time to hear it: this node is a mesh of one again.
    pub(crate) fn left(&mut self, reply: CommandReply) {
        let done = self.be_alone();
        self.show();
        // Whoever asked may have left.
        let _ = reply.send(done);
    }

    fn be_alone(&mut self) -> Result<CommandDone, CommandError> {
        self.record(None, Fact::Left(Counterpart::of(&self.home.me, PlaceKind::Home)));
        self.home.leave().map_err(|error| refuse("E0903", &error.to_string(), "df -h"))?;
        self.leaving = false;
        let me = self.home.me.clone();
        self.move_in(&me);
        self.wake();
        Ok(CommandDone::Left(me))
    }
}
