//! Letting others in: what becomes of a joiner that comes with an invite of this node.

use hither_api::door::{CommandDone, CommandError};
use hither_types::id::{MeshId, NodeId};
use hither_types::member::{Address, MemberRecord};
use hither_types::message::{HelloReply, Invite, PeerMessage};

use super::Caller;
use super::standing::refuse;
use crate::driver::Driver;
use crate::limits::MEMBERS_MAX;
use crate::meetings::Revealed;
use crate::trust::{InviteError, wall_now};
use crate::words::Words;

impl Driver {
    /// Answers a stranger that wants to become a member, if it is for this node to say.
    pub(super) fn knocked(
        &mut self,
        from: NodeId,
        mesh: MeshId,
        answer: impl FnOnce(&mut Self) -> Result<HelloReply, InviteError>,
    ) -> HelloReply {
        if mesh != self.home.authority.mesh || !self.home.is_issuer() {
            return HelloReply::Refused("this node does not let others into that mesh".into());
        }
        if self.home.authority.is_revoked(from) {
            return HelloReply::Refused(
                "this key was revoked in that mesh, and never gets back in; start the node with a new data directory"
                    .into(),
            );
        }
        // Before the invite is used: it is worth as much once there is room again.
        if self.mesh.is_full() && self.mesh.member(from).is_none() {
            return HelloReply::Refused(format!(
                "this mesh has {} members, which is as many as it can have",
                1 + MEMBERS_MAX
            ));
        }
        answer(self).unwrap_or_else(|error| HelloReply::Refused(error.to_string()))
    }

    /// A joiner showed its number, and asks for its certificate.
    pub(super) fn revealed(
        &mut self,
        from: Caller,
        name: [u8; 16],
        number: [u8; 32],
        addresses: Vec<Address>,
    ) -> Result<HelloReply, InviteError> {
        match self.meetings.reveal(&name, number, from.node, wall_now())? {
            Revealed::Waiting => Ok(HelloReply::Waiting),
            Revealed::LetIn(invite) => {
                let reply = self.let_in(from, *invite, addresses);
                if matches!(reply, HelloReply::Welcome { .. }) {
                    self.meetings.joined(&name);
                }
                Ok(reply)
            }
        }
    }

    pub(super) fn let_in(&mut self, from: Caller, invite: Invite, addresses: Vec<Address>) -> HelloReply {
        let Caller { node, speaks } = from;
        let (certificate, member) = self.home.certify(node, &invite);
        if !self.home.authority.may_let_in(self.home.me.node, &member) {
            return HelloReply::Refused(format!(
                "whoever made the invite may let in nobody of {} from {} with the roles {}",
                member.operator, member.jurisdiction, member.roles
            ));
        }
        let record = MemberRecord { certificate: certificate.clone(), addresses };
        self.spread(None, PeerMessage::Members(vec![record.clone()]));
        self.learn_members(vec![record]);
        self.welcome(certificate, None, speaks)
    }

    /// What has become of an invite.
    pub(crate) fn invite_state(&self, name: &[u8; 16]) -> Result<CommandDone, CommandError> {
        let state = self.meetings.state(&self.invites, name, wall_now());
        let unknown = || refuse("E0222", "this node made no such invite, or its time is long over", "hither invite");
        state.map(CommandDone::Invite).ok_or_else(unknown)
    }

    /// A person typed the words that a joiner shows.
    pub(crate) fn confirm(&mut self, typed: &str) -> Result<CommandDone, CommandError> {
        let found = Words::parse(typed).and_then(|words| self.meetings.confirm(words, wall_now()));
        let Some((node, invite)) = found else {
            return Err(refuse(
                "E0220",
                "no node waits that shows these words",
                "read them once more from the screen of the node that joins; if they are right, somebody else came with the \
                 invite: let it expire, make a new one, and hand it over another way",
            ));
        };
        tracing::info!(node = %node.short(), site = %invite.site, "its words were typed: it is let in");
        Ok(CommandDone::Confirmed { node, site: invite.site })
    }
}
