//! How others reach this node, and over which relays it may reach them.
//!
//! A relay is used for payloads only if it is a member, so that it is known where it stands, and if the law of this node
//! lets ciphertext pass there. Until then, and for a joiner, a relay that the operator or a ticket named carries hellos
//! alone. What no member runs and nobody named is never dialled.

use std::collections::BTreeMap;

use hither_core::policy::judge_relay;
use hither_swarm::{GuestReplier, KnownRelay};
use hither_types::id::NodeId;
use hither_types::law::{Denial, Verdict};
use hither_types::member::{Address, Relay, RelayUse, Role};
use hither_types::message::Invite;
use hither_types::view::{ReachView, RelayView};

use crate::driver::Driver;
use crate::limits::{RELAYS_MAX, RELAYS_TOLD_MAX};
use crate::pass;
use crate::trust::wall_now;

#[cfg(test)]
mod tests;

/// What this node knows of relays beside the records of members.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// The relays that it keeps a connection to.
    home: Vec<Relay>,
    /// The relays of the ticket by which this node joined or is joining, and what let it on them. They stay until the next
    /// start: a relay lets go of nobody who has become a member meanwhile.
    ticket: Vec<Relay>,
    pass: Option<String>,
    /// Of a join under way: who may get on the relay of this node to answer it.
    awaited: Option<NodeId>,
    /// How it looked a moment ago.
    pub(crate) view: ReachView,
}

/// Every way that was told, with the most that it may be used for.
#[derive(Debug, Default)]
struct Uses(BTreeMap<Relay, RelayUse>);

impl Uses {
    fn add(&mut self, relay: Relay, used_for: RelayUse) {
        let most = self.0.entry(relay).or_insert(used_for);
        *most = used_for.max(*most);
    }
}

impl Driver {
    /// Looks at all relays that are known, and tells the swarm which it may use and for what.
    pub(crate) fn look_at_relays(&mut self) {
        let mut uses = Uses::default();
        for relay in self.own_relays() {
            uses.add(relay, RelayUse::Everything);
        }
        for relay in self.config.relays.clone() {
            match self.lawful_relay(relay.node) {
                _ if relay.node == self.home.me.node => {}
                Some(Ok(())) => uses.add(relay, RelayUse::Everything),
                None => uses.add(relay, RelayUse::Hellos),
                Some(Err(why)) => {
                    uses.add(relay, RelayUse::Hellos);
                    self.warn_once(format!("relay-unlawful: the relay {} is not used: {why}", relay.node.short()));
                }
            }
        }
        for relay in self.mesh.records().iter().flat_map(|record| record.addresses.clone()).filter_map(Address::relay) {
            if let Some(Ok(())) = self.lawful_relay(relay.node) {
                uses.add(relay, RelayUse::Everything);
            }
        }
        for relay in self.mesh.reach.ticket.clone() {
            let is_lawful = matches!(self.lawful_relay(relay.node), Some(Ok(())));
            uses.add(relay, if is_lawful { RelayUse::Everything } else { RelayUse::Hellos });
        }
        let reach = &self.mesh.reach;
        let pass = |relay: &Relay| reach.pass.clone().filter(|_| reach.ticket.contains(relay));
        let relays = uses.0.into_iter().take(RELAYS_MAX);
        let relays = relays.map(|(relay, used_for)| KnownRelay { relay, used_for, pass: pass(&relay) });
        self.swarm.use_relays(relays.collect());
    }

    /// The ways to the relay that this node runs.
    pub(crate) fn own_relays(&self) -> Vec<Relay> {
        let Some(bound) = self.swarm.relay() else { return Vec::new() };
        let named = self.config.relay.iter().flat_map(|relay| relay.advertise.iter().copied());
        offered(self.home.me.node, named.collect(), bound, &self.swarm.addresses())
    }

    /// Whether ciphertext of this node may pass over the relay of a member, or why not; nothing if it is no member's.
    fn lawful_relay(&self, node: NodeId) -> Option<Result<(), String>> {
        if node == self.home.me.node {
            return Some(Ok(()));
        }
        let member = self.mesh.member(node)?;
        if !member.roles.has(Role::Relay) {
            return Some(Err("its certificate has no role relay".to_owned()));
        }
        let relay = member.place_at(self.policy.certified_within, wall_now());
        Some(match judge_relay(&self.policy, &self.home.me.place(), &relay) {
            Verdict::Permitted(_) => Ok(()),
            Verdict::Denied(Denial::Forbidden { rule, .. }) => Err(format!(
                "it stands in {}, and the rule {rule} forbids that ciphertext passes there",
                member.jurisdiction
            )),
            Verdict::Denied(Denial::NotPermitted { .. } | Denial::Role(_)) => Err(format!(
                "it stands in {}, and no permit of the policy with action = [\"relay\"] has that as its target",
                member.jurisdiction
            )),
        })
    }

    /// The relays over which this node says that it is reached.
    pub(crate) fn told_relays(&self) -> Vec<Address> {
        let mut told = self.own_relays();
        // A joiner that is to be a relay itself finds the one that it will be among those that the operator named.
        for relay in self.mesh.reach.home.iter().chain(&self.config.relays) {
            if !told.contains(relay) && matches!(self.lawful_relay(relay.node), Some(Ok(())) | None) {
                told.push(*relay);
            }
        }
        told.truncate(RELAYS_TOLD_MAX);
        told.into_iter().map(Address::Relayed).collect()
    }

    /// The transport keeps connections to other relays than before: everybody is told at once.
    pub(crate) fn home_relays(&mut self, relays: Vec<Relay>) {
        let names: Vec<String> = relays.iter().map(ToString::to_string).collect();
        tracing::info!(relays = names.join(", "), "reached over relays");
        self.mesh.reach.home = relays;
        self.tell_members();
    }

    /// Looks at how this node is reached, for whoever asks.
    pub(crate) fn look_at_reach(&mut self) {
        let mut outside = self.swarm.outside();
        let mut addresses = self.swarm.addresses();
        addresses.retain(|address| !outside.contains(address));
        outside.retain(|address| !self.config.mesh_advertise.contains(address));
        let relays = self.swarm.relays().into_iter().map(|(known, state)| RelayView {
            relay: known.relay,
            by: self.member(known.relay.node),
            used_for: known.used_for,
            state,
        });
        let relays = relays.collect();
        self.mesh.reach.view = ReachView { addresses, outside, lan: self.swarm.on_networks(), relays };
    }

    /// A node that is no member wants to get on the relay of this one.
    pub(crate) fn guest(&self, node: NodeId, shown: Option<&str>, reply: GuestReplier) {
        let is_awaited = self.mesh.reach.awaited == Some(node);
        let authority = &self.home.authority;
        if !authority.is_revoked(node)
            && (is_awaited || shown.is_some_and(|shown| pass::holds(authority, shown, wall_now())))
        {
            reply.admit();
        }
    }

    /// Opens the ways that a ticket names. Says whether its issuer has to come to the relay of this node.
    pub(crate) fn open_ways(&mut self, invite: &Invite) -> bool {
        let relays: Vec<Relay> = invite.addresses.iter().filter_map(|address| address.relay()).collect();
        let comes_here = relays.iter().any(|relay| relay.node == self.home.me.node);
        let reach = &mut self.mesh.reach;
        reach.ticket = relays.into_iter().filter(|relay| relay.node != self.home.me.node).collect();
        reach.pass = pass::text(invite);
        reach.awaited = comes_here.then_some(invite.issuer);
        self.look_at_relays();
        comes_here
    }

    /// This node is a member now: the ways stay open, as far as its law says.
    pub(crate) fn keep_ways(&mut self) {
        self.mesh.reach.awaited = None;
        self.look_at_relays();
    }

    /// Nothing came of the join.
    pub(crate) fn close_ways(&mut self) {
        let reach = &mut self.mesh.reach;
        (reach.ticket, reach.pass, reach.awaited) = (Vec::new(), None, None);
        self.look_at_relays();
    }
}

/// The ways to a relay: those that its operator named, else those that its machine has.
fn offered(
    node: NodeId,
    named: Vec<std::net::SocketAddr>,
    bound: std::net::SocketAddr,
    machine: &[std::net::SocketAddr],
) -> Vec<Relay> {
    let mut addresses = named;
    if !bound.ip().is_unspecified() {
        addresses.push(bound);
    } else if addresses.is_empty() {
        let of_family = machine.iter().filter(|address| address.is_ipv4() == bound.is_ipv4());
        addresses.extend(of_family.map(|address| std::net::SocketAddr::new(address.ip(), bound.port())));
    }
    addresses.dedup();
    addresses.truncate(RELAYS_TOLD_MAX);
    addresses.into_iter().map(|address| Relay { node, address }).collect()
}
