//! How far a member is, and over which path.

use hither_api::door::{CommandDone, CommandError, PathTaken, Pinged};
use hither_swarm::Pinged as Measured;
use hither_types::id::NodeId;
use hither_types::member::{Address, Member};
use hither_types::unit::Micros;

use crate::driver::{CommandReply, Driver};

impl Driver {
    /// Measures round trips to a member, and answers when they are measured.
    pub(crate) fn ping(&mut self, node: NodeId, count: u32, reply: CommandReply) {
        if self.mesh.member(node).is_none() {
            let error = CommandError {
                code: "E0210",
                message: "it is no other member of this mesh".into(),
                help: "hither member ls".into(),
            };
            // Whoever asked may have left.
            let _ = reply.send(Err(error));
            return;
        }
        let (swarm, me) = (self.swarm.clone(), self.home.me.clone());
        let members = self.mesh.members();
        self.hands.spawn(async move {
            let answer = match swarm.ping(node, count).await {
                Ok(pinged) => Ok(CommandDone::Pinged(measured(node, &pinged, &me, &members))),
                Err(error) => Err(CommandError {
                    code: "E0218",
                    message: format!("the member cannot be reached: {error}"),
                    help: "check that it is up; two nodes behind routers need a relay that both reach: hither relay --help"
                        .into(),
                }),
            };
            let _ = reply.send(answer);
        });
    }
}

fn measured(node: NodeId, pinged: &Measured, me: &Member, members: &[Member]) -> Pinged {
    let member = |node: NodeId| std::iter::once(me).chain(members).find(|member| member.node == node).cloned();
    let pongs = &pinged.pongs;
    let path = pongs.last().and_then(|pong| pong.path).map(|path| match path {
        Address::Direct(address) => PathTaken::Direct(address),
        Address::Relayed(relay) => PathTaken::Relayed { relay, by: member(relay.node) },
    });
    let took = pongs.iter().map(|pong| Micros(u64::try_from(pong.took.as_micros()).unwrap_or(u64::MAX)));
    Pinged { node, took: took.collect(), path, seen_as: pinged.seen_as }
}
