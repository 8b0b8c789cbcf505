//! What operators ask.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use hither_api::door::policy::{NewPolicy, PolicyInForce};
use hither_api::door::{Command, CommandDone, CommandError, Invitation};
use hither_core::Event;
use hither_swarm::Isolation;
use hither_types::fact::{Counterpart, Export, Fact};
use hither_types::id::NodeId;
use hither_types::law::Policy;
use hither_types::member::Member;
use hither_types::message::Invite;
use hither_types::place::PlaceKind;

use crate::driver::{CommandReply, Driver};
use crate::law::{failing_on_all_days, parse, today};
use crate::published::bound;
use crate::trust::{wall_after, wall_now};

impl Driver {
    /// Carries out a command; the slow ones answer later.
    pub(crate) fn command(&mut self, command: Command, reply: CommandReply) {
        let done = match command {
            Command::AddModel(added) => return self.add_model(added, reply),
            Command::RemoveModel { name, last } => return self.remove_model(&name, last, reply),
            Command::VerifyModel(name) => return self.verify(&name, reply),
            Command::Ping { node, count } => return self.ping(node, count, reply),
            Command::Join { ticket } => return self.join(&ticket, reply),
            Command::Leave => return self.leave(reply),
            Command::Publish { name, until } => self.publish(&name, until),
            Command::RollOut(asked) => self.roll_out(asked),
            Command::RollBack(name) => self.roll_back(&name),
            Command::PullModel(name) => self.pull(&name),
            Command::CloseModel(name) => self.close(&name),
            Command::PinModel(name) => self.pin(&name, true),
            Command::UnpinModel(name) => self.pin(&name, false),
            Command::Invite(asked) => self.invite(asked),
            Command::InviteState(name) => self.invite_state(&name),
            Command::Confirm { words } => self.confirm(&words),
            Command::JoinState => self.join_state(),
            Command::Authority => Ok(CommandDone::Authority(self.home.authority.view())),
            Command::Revoke(node) => self.revoke(node),
            Command::Appoint(issuer) => self.appoint(issuer),
            Command::Dismiss(node) => self.dismiss(node),
            Command::Quorum(quorum) => self.quorum(quorum),
            Command::Approve(proposal) => self.approve(&proposal),
            Command::AskWitnesses => match self.ask_witnesses() {
                0 => Err(CommandError {
                    code: "E0812",
                    message: "nobody is there who could sign the checkpoint of this node's ledger".into(),
                    help: "hither status shows who is there; hither invite lets others in".into(),
                }),
                _ => Ok(CommandDone::Done),
            },
            Command::RecordExport(export) => return self.record_export(export, reply),
            Command::SetCap(cap) => {
                self.cap = cap;
                self.feed(Event::CapChanged(cap));
                Ok(CommandDone::Done)
            }
            Command::Isolate(isolated) => self.isolate(isolated),
            Command::ReloadPolicy => self.reload_policy(),
            Command::Policy => Ok(self.policy_in_force()),
            Command::ApplyPolicy(new) => self.apply_policy(new),
            Command::PublishPolicy(new) => self.publish_policy(new),
            Command::Policies => Ok(self.publications()),
            Command::PolicyText(begins) => self.policy_text_of(&begins),
        };
        self.show();
        // Whoever asked may have left.
        let _ = reply.send(done);
    }

    fn invite(&mut self, asked: Invitation) -> Result<CommandDone, CommandError> {
        if !self.home.is_issuer() {
            return Err(CommandError {
                code: "E0207",
                message: "this node may not let others in; the founder of the mesh and its issuers may".into(),
                help:
                    "hither authority names them; run hither invite there, or hither authority appoint at the founder"
                        .into(),
            });
        }
        let Invitation { site, jurisdiction, operator, roles, comparison, lifetime } = asked;
        let mut invite = Invite {
            mesh: self.home.authority.mesh,
            issuer: self.home.me.node,
            addresses: self.addresses(),
            secret: crate::home::random(),
            site,
            jurisdiction,
            expires: wall_after(wall_now(), lifetime),
            pass: None,
            comparison: Some(comparison),
            roles,
            operator,
        };
        // The key of the new member is not known yet; who it is does not change what may be said of it.
        let guest = self.home.guest(NodeId([0; 32]), &invite);
        if !self.home.authority.may_let_in(self.home.me.node, &guest) {
            let Member { jurisdiction, operator, roles, .. } = guest;
            return Err(CommandError {
                code: "E0207",
                message: format!(
                    "this node may let in nobody of {operator} who stands in {jurisdiction} with the roles {roles}"
                ),
                help: "hither authority says whom it may let in; the founder may let in everybody".into(),
            });
        }
        if invite.addresses.iter().any(|address| address.relay().is_some()) {
            invite.pass = Some(crate::pass::issue(&self.home.key, &invite));
        }
        self.invites.keep(&invite, wall_now()).map_err(|error| CommandError {
            code: "E0208",
            message: error.to_string(),
            help: "df -h".into(),
        })?;
        let ticket = hither_wire::ticket::format(&invite).map_err(|error| CommandError {
            code: "E0208",
            message: error.to_string(),
            help: "choose a shorter site name".into(),
        })?;
        Ok(CommandDone::Invited { ticket, invite: crate::trust::invite_name(&invite.secret) })
    }

    /// Puts on the record, before somebody has it, that a copy of this node's ledger is made for them; answers when that is
    /// on the disk. Whoever asks asked the law about what the ledger holds, and it must be the law in force.
    fn record_export(&mut self, export: Export, reply: CommandReply) {
        let told = match export.policy == self.policy.digest {
            true => self.records.record_and_tell(Fact::Exported(export)),
            false => {
                let error = CommandError {
                    code: "E0825",
                    message: format!("nothing was handed over: b3:{} is in force now", self.policy.digest.short()),
                    help: "type it again: what may be exported is asked anew".into(),
                };
                // Whoever asked may have left.
                let _ = reply.send(Err(error));
                return;
            }
        };
        self.hands.spawn(async move {
            let done = told.await.map(|()| CommandDone::Done).map_err(|_| CommandError {
                code: "E0826",
                message:
                    "nothing was handed over: the ledger of this node cannot be written, so that nothing would say it"
                        .into(),
                help: "hither status".into(),
            });
            // Whoever asked may have left.
            let _ = reply.send(done);
        });
    }

    fn isolate(&mut self, isolated: bool) -> Result<CommandDone, CommandError> {
        if !self.config.drill {
            return Err(CommandError {
                code: "E0902",
                message: "drills are not allowed on this node".into(),
                help: "write [drill] allow = true into hither.toml and start the node again".into(),
            });
        }
        if self.gave_way {
            return Err(CommandError {
                code: "E0214",
                message: "another program runs with the key of this node, and was started before it".into(),
                help: "hither status".into(),
            });
        }
        self.swarm.isolate(if isolated { Isolation::Isolated } else { Isolation::Connected });
        Ok(CommandDone::Done)
    }

    fn reload_policy(&mut self) -> Result<CommandDone, CommandError> {
        let law = load_policy(&self.config.policy).map_err(|message| CommandError {
            code: "E0311",
            message: format!("the policy stays as it was: {message}"),
            help: format!("hither policy check {}", self.config.policy.display()),
        })?;
        if let Some(published) = self.bound_to().filter(|published| published.digest != law.policy.digest) {
            return Err(bound(published));
        }
        self.put_in_force(law, None);
        Ok(CommandDone::Done)
    }

    fn policy_in_force(&self) -> CommandDone {
        CommandDone::Policy(PolicyInForce {
            digest: self.policy.digest,
            version: self.policy.version,
            text: self.policy_text.clone(),
            file: self.config.policy.clone(),
        })
    }

    /// Puts another policy in force, once it is on the disk: a node that is started anew lives by the same law.
    fn apply_policy(&mut self, NewPolicy { text, over }: NewPolicy) -> Result<CommandDone, CommandError> {
        let error = |code, message, help: &str| Err(CommandError { code, message, help: help.to_owned() });
        let law = match read_policy(text) {
            Ok(law) => law,
            Err(text) => {
                return error("E0312", format!("the policy stays as it was: {text}"), "hither policy check FILE");
            }
        };
        if over != self.policy.digest {
            let message = format!(
                "the policy stays as it was: the new one was compared with b3:{}, and b3:{} is in force",
                over.short(),
                self.policy.digest.short()
            );
            return error("E0313", message, "hither policy apply --dry-run FILE");
        }
        if let Some(published) = self.bound_to().filter(|published| published.digest != law.policy.digest) {
            return Err(bound(published));
        }
        let path = &self.config.policy;
        if let Err(cause) = crate::home::replace(path, law.text.as_bytes()) {
            let message = format!("the policy stays as it was: {} cannot be written: {cause}", path.display());
            return error("E0314", message, &format!("df -h {}", path.parent().unwrap_or(path).display()));
        }
        if law.policy.digest != self.policy.digest {
            self.put_in_force(law, None);
        }
        Ok(self.policy_in_force())
    }

    /// A policy is the law of this node from here on; it was published by this key, if any.
    pub(crate) fn put_in_force(&mut self, Law { policy, text }: Law, publisher: Option<NodeId>) {
        self.policy_text = text;
        self.keep_policy_text();
        self.record(None, Fact::PolicyChanged { policy: policy.digest, publisher });
        self.live_by(policy);
    }

    /// Every few seconds: a day may have come on which the policy's groups of countries have other members. Its tests were
    /// run for that day when it was accepted.
    pub(crate) fn look_at_lists(&mut self) {
        let today = today();
        if !self.policy.is_out_of_date_on(today) {
            return;
        }
        let Ok(policy) = parse(&self.policy_text, today) else { return };
        let moves = policy.moves(self.policy.day, today);
        self.record(None, Fact::BlocsChanged { policy: policy.digest, day: today, moves });
        self.live_by(policy);
    }

    fn live_by(&mut self, policy: Policy) {
        let policy = Arc::new(policy);
        self.policy = Arc::clone(&policy);
        self.records.live_by(&policy);
        self.facade_changed();
        self.look_at_relays();
        self.look_at_collector();
        self.feed(Event::PolicyChanged(policy));
        self.canary.soon();
    }

    /// A new member without a policy of its own starts from the usual one for its place.
    pub(crate) fn adopt_policy(&mut self, me: &Member) {
        self.record(None, Fact::Joined(Counterpart::of(me, PlaceKind::Home)));
        if let Err(error) = crate::home::write_default_policy(&self.config.policy, me.jurisdiction) {
            self.warn(None, format!("no policy could be written, so nothing leaves this node: {error}"));
        }
        match load_policy(&self.config.policy) {
            Ok(Law { policy, text }) => {
                self.record(None, Fact::PolicyChanged { policy: policy.digest, publisher: None });
                self.records.live_by(&policy);
                (self.policy, self.policy_text) = (Arc::new(policy), text);
                self.keep_policy_text();
                self.facade_changed();
                self.look_at_collector();
                self.canary.soon();
            }
            Err(text) => self.warn(None, format!("the policy is not put in force: {text}")),
        }
    }

    /// What the door must know at once.
    pub(crate) fn facade_changed(&self) {
        let mut facade = self.facade.write().unwrap_or_else(PoisonError::into_inner);
        facade.policy = Arc::clone(&self.policy);
        facade.me = self.home.me.clone();
    }
}

/// A policy with its text.
pub(crate) struct Law {
    pub(crate) policy: Policy,
    pub(crate) text: String,
}

/// Reads a policy and runs its own tests; a node without a file keeps everything at home.
pub(crate) fn load_policy(path: &Path) -> Result<Law, String> {
    if !path.exists() {
        return Ok(Law { policy: hither_law::local_only(), text: hither_law::LOCAL_ONLY.to_owned() });
    }
    read_policy(std::fs::read_to_string(path).map_err(|error| error.to_string())?)
}

pub(crate) fn read_policy(text: String) -> Result<Law, String> {
    let policy = parse(&text, today()).map_err(|error| error.to_string())?;
    let failing = failing_on_all_days(&text, &policy);
    match failing.first() {
        None => Ok(Law { policy, text }),
        Some(first) => Err(format!("{} of its own tests fail, the first: {first}", failing.len())),
    }
}
