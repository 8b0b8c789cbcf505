//! Joining a mesh by an invite.

use std::time::Duration;

use hither_swarm::{DialError, Swarm};
use hither_types::id::NodeId;
use hither_types::member::{Address, Member};
use hither_types::message::{Hello, HelloReply, Invite};
use hither_wire::limits::MAX_ADDRESSES;
use tokio::time::Instant;

use crate::authority::{Authority, founder_of};
use crate::driver::{CommandReply, Driver, Inbound, Joining};
use crate::limits::{ISSUER_COMES, ISSUER_LOOK};
use crate::trust::{self, wall_now};

impl Driver {
    /// Asks the issuer of an invite to be let in.
    pub(crate) fn join(&mut self, ticket: &str, reply: CommandReply) {
        let refuse =
            |code, message: String, help: &str| hither_api::door::CommandError { code, message, help: help.to_owned() };
        let invite = match hither_wire::ticket::parse(ticket) {
            Ok(invite) => invite,
            Err(error) => {
                let text = refuse(
                    "E0201",
                    format!("this is not a ticket: {error}"),
                    "copy the whole line that hither invite printed",
                );
                let _ = reply.send(Err(text));
                return;
            }
        };
        if invite.expires < wall_now() {
            let text = refuse("E0202", "this invite has expired".into(), "ask for a new one: hither invite");
            let _ = reply.send(Err(text));
            return;
        }
        let comes_here = self.open_ways(&invite);
        let (swarm, inbox) = (self.swarm.clone(), self.inbox.clone());
        let mut addresses = self.addresses();
        // Its certificate is on its way back over the relays of the ticket, and so may be what comes after it.
        addresses.extend(invite.addresses.iter().copied().filter(|address| address.relay().is_some()));
        addresses.truncate(MAX_ADDRESSES);
        let hello = Hello::Join {
            mesh: invite.mesh,
            invite: trust::invite_name(&invite.secret),
            proof: trust::invite_proof(&invite.secret, self.home.me.node),
            addresses,
        };
        self.hands.spawn(async move {
            let (from, addresses) = (invite.issuer, invite.addresses.clone());
            let patience = if comes_here { ISSUER_COMES } else { Duration::ZERO };
            let answer = match say_until(&swarm, from, addresses, hello, patience).await {
                Err(DialError::Apart { reason, .. }) => {
                    // Whoever asked may have left.
                    let _ = reply.send(Err(refuse("E0217", reason, "hither --version, at both ends")));
                    return;
                }
                answer => answer.map_err(|error| error.to_string()),
            };
            let joining = Some(Joining { invite, reply });
            let _ = inbox.send(Inbound::Welcomed { from, reply: answer, joining }).await;
        });
    }

    pub(super) fn joined(&mut self, from: NodeId, reply: Result<HelloReply, String>, joining: Joining) {
        let done = self.adopt(from, reply, &joining.invite);
        match &done {
            Ok(_) => self.keep_ways(),
            Err(_) => self.close_ways(),
        }
        // Whoever asked may have left.
        let _ = joining.reply.send(done);
    }

    fn adopt(
        &mut self,
        from: NodeId,
        reply: Result<HelloReply, String>,
        invite: &Invite,
    ) -> Result<hither_api::door::CommandDone, hither_api::door::CommandError> {
        let fault =
            |code, message: String, help: &str| hither_api::door::CommandError { code, message, help: help.to_owned() };
        let (certificate, members, catalog, entries) = match reply {
            Ok(HelloReply::Welcome { certificate, members, catalog, authority }) => {
                (certificate, members, catalog, authority)
            }
            Ok(HelloReply::Refused(why)) => {
                return Err(fault("E0204", why, "ask for a new invite: hither invite"));
            }
            Err(error) => {
                let message = format!("the node that made the invite cannot be reached: {error}");
                return Err(fault(
                    "E0205",
                    message,
                    "check that it is up and that its address can be reached from here",
                ));
            }
        };
        // The id of a mesh is a hash that names its founder; one without a log has no issuer but the founder.
        let founder = founder_of(invite.mesh, &entries).unwrap_or(invite.issuer);
        let mut authority = Authority::new(invite.mesh, founder);
        for (signer, error) in authority.take_all(entries).1 {
            tracing::warn!(signer = %signer.short(), %error, "an entry of the authority log is not believed");
        }
        let me = authority
            .check_certificate(&certificate, wall_now())
            .map_err(|error| fault("E0206", format!("the certificate is not believed: {error}"), ""))?;
        if me.node != self.home.me.node {
            return Err(fault("E0206", "the certificate is for another node".into(), ""));
        }
        self.home
            .adopt(authority, certificate, me.clone())
            .map_err(|error| fault("E0903", error.to_string(), "df -h"))?;
        self.move_in(&me);
        self.wake();
        self.learn_members(members);
        catalog.into_iter().for_each(|signed| self.learn_model(from, signed));
        Ok(hither_api::door::CommandDone::Joined(me))
    }
}

impl Driver {
    /// This node belongs to another mesh now: nothing of the old one is left but its models and its ledger.
    pub(super) fn move_in(&mut self, me: &Member) {
        for node in self.mesh.records.keys().copied().collect::<Vec<_>>() {
            self.swarm.expel(node);
        }
        self.traces.moved(me);
        self.drop_sessions();
        self.mesh.clear();
        self.swarm.look_on_networks(me.mesh);
        self.adopt_policy(me);
        self.facade_changed();
    }
}

/// Says hello, again and again as long as the other cannot be reached and there is patience.
async fn say_until(
    swarm: &Swarm,
    to: NodeId,
    addresses: Vec<Address>,
    hello: Hello,
    patience: Duration,
) -> Result<HelloReply, DialError> {
    let until = Instant::now() + patience;
    loop {
        match swarm.hello(to, addresses.clone(), hello.clone()).await {
            Err(DialError::TimedOut { .. }) if Instant::now() < until => tokio::time::sleep(ISSUER_LOOK).await,
            ended => return ended,
        }
    }
}
