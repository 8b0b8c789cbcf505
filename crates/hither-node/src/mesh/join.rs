//! Joining a mesh by an invite.

use std::time::Duration;

use hither_api::door::{CommandDone, CommandError};
use hither_swarm::{DialError, Swarm};
use hither_types::id::NodeId;
use hither_types::member::{Address, Member};
use hither_types::message::{Hello, HelloReply, Invite};
use hither_wire::limits::MAX_ADDRESSES;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::standing::refuse;
use crate::authority::{Authority, founder_of};
use crate::driver::{CommandReply, Driver, Inbound};
use crate::limits::{ISSUER_COMES, ISSUER_LOOK, WORDS_LOOK};
use crate::near::Distances;
use crate::trust::{self, wall_now};
use crate::words::{Encounter, Words, commitment};

/// The last join of this node, until it starts anew.
pub(crate) struct Joining {
    invite: Invite,
    words: Option<Words>,
    /// How it ended.
    ended: Option<Result<Member, CommandError>>,
    /// Who asked, until it was answered.
    reply: Option<CommandReply>,
    hand: AbortHandle,
}

/// What is heard of a join under way.
pub(crate) struct JoinNews {
    /// The name of its invite: another may have been begun since.
    pub(crate) invite: [u8; 16],
    pub(crate) step: JoinStep,
}

/// How far it is.
pub(crate) enum JoinStep {
    /// It met the issuer, and these are their words.
    Words(Words),
    /// A person has to type them at the issuer.
    Waits,
    /// It has ended.
    Ended(Box<Result<HelloReply, DialError>>),
}

impl Driver {
    /// Asks the issuer of an invite to be let in. It takes the place of a join before it that has not ended.
    pub(crate) fn join(&mut self, ticket: &str, reply: CommandReply) {
        let invite = match read_ticket(ticket) {
            Ok(invite) => invite,
            Err(error) => {
                // Whoever asked may have left.
                let _ = reply.send(Err(error));
                return;
            }
        };
        if let Some(before) = self.joining.take() {
            before.hand.abort();
        }
        let comes_here = self.open_ways(&invite);
        let mut addresses = self.addresses();
        // Its certificate is on its way back over the relays of the ticket, and so may be what comes after it.
        addresses.extend(invite.addresses.iter().copied().filter(|address| address.relay().is_some()));
        addresses.truncate(MAX_ADDRESSES);
        let asking = Asking {
            swarm: self.swarm.clone(),
            inbox: self.inbox.clone(),
            name: trust::invite_name(&invite.secret),
            invite: invite.clone(),
            me: self.home.me.node,
            addresses,
            patience: if comes_here { ISSUER_COMES } else { Duration::ZERO },
        };
        let hand = self.hands.spawn(async move {
            let answer = asking.be_let_in().await;
            asking.tell(JoinStep::Ended(Box::new(answer))).await;
        });
        self.joining = Some(Joining { invite, words: None, ended: None, reply: Some(reply), hand });
    }

    /// How far the last join is.
    pub(crate) fn join_state(&self) -> Result<CommandDone, CommandError> {
        let Some(Joining { words, ended, .. }) = &self.joining else {
            return Err(refuse("E0221", "no join is under way on this node", "hither join TICKET"));
        };
        let words = words.map(|words| words.to_string());
        Ok(CommandDone::Joining { words, member: ended.clone().transpose()? })
    }

    pub(crate) fn join_news(&mut self, news: JoinNews) {
        let JoinNews { invite: name, step } = news;
        let Some(joining) = self.joining.as_mut().filter(|join| trust::invite_name(&join.invite.secret) == name) else {
            return;
        };
        match step {
            JoinStep::Words(words) => joining.words = Some(words),
            JoinStep::Waits => {
                let words = joining.words.map(|words| words.to_string());
                if let Some(reply) = joining.reply.take() {
                    // Whoever asked may have left; the node goes on asking.
                    let _ = reply.send(Ok(CommandDone::Joining { words, member: None }));
                }
            }
            JoinStep::Ended(answer) => {
                let (invite, reply) = (joining.invite.clone(), joining.reply.take());
                let words = joining.words.map(|words| words.to_string());
                let done = self.adopt(*answer, &invite);
                match &done {
                    Ok(_) => self.keep_ways(),
                    Err(error) => {
                        self.close_ways();
                        tracing::warn!(code = error.code, error = error.message, "not let into the mesh of the invite");
                    }
                }
                if let Some(joining) = &mut self.joining {
                    joining.ended = Some(done.clone());
                }
                if let Some(reply) = reply {
                    // Whoever asked may have left.
                    let _ = reply.send(done.map(|member| CommandDone::Joining { words, member: Some(member) }));
                }
            }
        }
    }

    fn adopt(&mut self, answer: Result<HelloReply, DialError>, invite: &Invite) -> Result<Member, CommandError> {
        let from = invite.issuer;
        let (certificate, members, catalog, entries) = match answer {
            Ok(HelloReply::Welcome { certificate, members, catalog, authority }) => {
                (certificate, members, catalog, authority)
            }
            Ok(HelloReply::Refused(why)) => return Err(refuse("E0204", &why, "ask for a new invite: hither invite")),
            Ok(HelloReply::Met(_) | HelloReply::Waiting) => {
                let why = "the node that made the invite answers something else than it was asked";
                return Err(refuse("E0204", why, "ask for a new invite: hither invite"));
            }
            Err(DialError::Apart { reason, .. }) => {
                return Err(refuse("E0217", &reason, "hither --version, at both ends"));
            }
            Err(error) => {
                return Err(refuse(
                    "E0205",
                    &format!("the node that made the invite cannot be reached: {error}"),
                    "check that it is up and that its address can be reached from here",
                ));
            }
        };
        let unbelieved = |text: String| refuse("E0206", &text, "");
        // The id of a mesh is a hash that names its founder; one without a log has no issuer but the founder.
        let founder = founder_of(invite.mesh, &entries).unwrap_or(invite.issuer);
        let mut authority = Authority::new(invite.mesh, founder);
        for (signer, error) in authority.take_all(entries).1 {
            tracing::warn!(signer = %signer.short(), %error, "an entry of the authority log is not believed");
        }
        let me = authority
            .check_certificate(&certificate, wall_now())
            .map_err(|error| unbelieved(format!("the certificate is not believed: {error}")))?;
        if me.node != self.home.me.node {
            return Err(unbelieved("the certificate is for another node".into()));
        }
        self.home
            .adopt(authority, certificate, me.clone())
            .map_err(|error| refuse("E0903", &error.to_string(), "df -h"))?;
        self.move_in(&me);
        self.wake();
        self.learn_members(members);
        catalog.into_iter().for_each(|signed| self.learn_model(from, signed));
        Ok(me)
    }

    /// This node belongs to another mesh now: nothing of the old one is left but its models and its ledger.
    pub(super) fn move_in(&mut self, me: &Member) {
        for node in self.mesh.records.keys().copied().collect::<Vec<_>>() {
            self.swarm.expel(node);
        }
        self.traces.moved(me);
        self.drop_sessions();
        self.mesh.clear();
        self.versions.clear();
        self.distances = Distances::default();
        self.swarm.look_on_networks(me.mesh);
        self.adopt_policy(me);
        self.facade_changed();
    }
}

/// The invite of a ticket that has not ended.
fn read_ticket(ticket: &str) -> Result<Invite, CommandError> {
    let invite = hither_wire::ticket::parse(ticket).map_err(|error| {
        let text = format!("this is not a ticket: {error}");
        refuse("E0201", &text, "copy the whole line that hither invite printed")
    })?;
    match invite.expires < wall_now() {
        true => Err(refuse(
            "E0202",
            "this invite has expired by the clock of this machine",
            "ask for a new one: hither invite; if this one is new, set the clock: hither doctor shows it",
        )),
        false => Ok(invite),
    }
}

/// The hand that asks.
struct Asking {
    swarm: Swarm,
    inbox: mpsc::Sender<Inbound>,
    /// The name of the invite.
    name: [u8; 16],
    invite: Invite,
    me: NodeId,
    addresses: Vec<Address>,
    patience: Duration,
}

impl Asking {
    async fn tell(&self, step: JoinStep) {
        // A closed inbox means that the node is stopping.
        let _ = self.inbox.send(Inbound::Join(JoinNews { invite: self.name, step })).await;
    }

    async fn be_let_in(&self) -> Result<HelloReply, DialError> {
        let Invite { mesh, secret, comparison, .. } = &self.invite;
        let (mesh, invite, proof) = (*mesh, self.name, trust::invite_proof(secret, self.me));
        let addresses = self.addresses.clone();
        // A ticket that says nothing of words comes from a program that knows none.
        if comparison.is_none() {
            return self.say_until(Hello::Join { mesh, invite, proof, addresses }).await;
        }
        let number = crate::home::random();
        let theirs = match self.say_until(Hello::Meet { mesh, invite, proof, commitment: commitment(&number) }).await? {
            HelloReply::Met(theirs) => theirs,
            other => return Ok(other),
        };
        let encounter = Encounter {
            mesh,
            invite,
            issuer: self.invite.issuer,
            joiner: self.me,
            issuer_number: theirs,
            joiner_number: number,
        };
        self.tell(JoinStep::Words(encounter.words())).await;
        self.wait(&Hello::Reveal { invite, number, addresses }).await
    }

    /// Shows its number, and asks again as long as a person at the issuer may type the words.
    async fn wait(&self, hello: &Hello) -> Result<HelloReply, DialError> {
        let mut waits = false;
        // Nothing of this comes twice: the invite is used, and another number would be another promise.
        let until = Instant::now() + ISSUER_COMES;
        loop {
            match self.say(hello.clone()).await {
                Ok(HelloReply::Waiting) if !waits => {
                    waits = true;
                    self.tell(JoinStep::Waits).await;
                }
                Ok(HelloReply::Waiting) => {}
                // The way there may be broken for a moment, and a person may take an hour.
                Err(_) if Instant::now() < until || waits && wall_now() <= self.invite.expires => {}
                ended => return ended,
            }
            tokio::time::sleep(WORDS_LOOK).await;
        }
    }

    /// Says hello, again and again as long as the other cannot be reached and there is patience.
    async fn say_until(&self, hello: Hello) -> Result<HelloReply, DialError> {
        let until = Instant::now() + self.patience;
        loop {
            match self.say(hello.clone()).await {
                Err(DialError::TimedOut { .. }) if Instant::now() < until => tokio::time::sleep(ISSUER_LOOK).await,
                ended => return ended,
            }
        }
    }

    async fn say(&self, hello: Hello) -> Result<HelloReply, DialError> {
        self.swarm.hello(self.invite.issuer, self.invite.addresses.clone(), hello).await
    }
}
