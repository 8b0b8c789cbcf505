//! How this node and others reach one another, as it and its peers say: routers in between, relays, multicast, versions.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use hither_api::admin::{
    CarriesDto, MulticastStateDto, NodeDto, PathDto, PongDto, PresenceDto, ReachDto, RelayStateDto, ViewDto,
};

use super::{Area, Check};
use crate::cli::relay_words;

pub(super) fn checks(view: &ViewDto, pongs: &[(String, Option<PongDto>)]) -> Vec<Check> {
    let mut checks = vec![versions(&view.version, &view.nodes)];
    checks.extend(udp(pongs));
    if let Some(reach) = &view.reach {
        checks.extend(router(reach, pongs));
        checks.extend(relays(reach));
        checks.extend(multicast(reach));
    }
    checks
}

/// Peers of other versions work together as far as their protocols do; an operator should know of them.
fn versions(own: &str, nodes: &[NodeDto]) -> Check {
    let mut same = 0;
    let mut others = Vec::new();
    for node in nodes.iter().filter(|node| node.presence != PresenceDto::Here) {
        match node.program.as_deref() {
            Some(program) if program == own => same += 1,
            Some(program) => others.push(format!("{} has {program}", node.member.site)),
            None => others.push(format!("{} did not say", node.member.site)),
        }
    }
    let told = nodes.iter().filter_map(|node| node.program.as_deref()).any(|program| program != own);
    let found = match (same, others.is_empty()) {
        (0, true) => format!("this node has {own}, and no peers"),
        (_, true) => format!("all peers have {own}"),
        _ => format!("this node has {own}; {}", others.join(", ")),
    };
    if told {
        let fix = "bring all nodes to one version: hither --version, there and here";
        return Check::warn(Area::Network, "versions", found, fix);
    }
    Check::ok(Area::Network, "versions", found)
}

/// Whether packets get to peers without a relay.
fn udp(pongs: &[(String, Option<PongDto>)]) -> Option<Check> {
    if pongs.is_empty() {
        return None;
    }
    let by_path = |path| -> Vec<&str> {
        let taken = pongs.iter().filter(|(_, pong)| pong.as_ref().and_then(|pong| pong.path) == Some(path));
        taken.map(|(site, _)| site.as_str()).collect()
    };
    let (direct, relayed) = (by_path(PathDto::Direct), by_path(PathDto::Relayed));
    let silent: Vec<&str> = pongs.iter().filter(|(_, pong)| pong.is_none()).map(|(site, _)| site.as_str()).collect();
    let mut found = format!("UDP passes straight to {} of {} peers that were asked", direct.len(), pongs.len());
    if !relayed.is_empty() {
        found.push_str(&format!("; over a relay: {}", relayed.join(", ")));
    }
    if !silent.is_empty() {
        found.push_str(&format!("; no answer: {}", silent.join(", ")));
    }
    if direct.is_empty() {
        let fix = "let UDP pass to and from the mesh address, or give one node a port that its router passes on: \
                   [mesh] advertise = [\"IP:PORT\"]";
        return Some(Check::warn(Area::Network, "UDP", found, fix));
    }
    Some(Check::ok(Area::Network, "UDP", found))
}

/// What stands between this node and the others, by how they see it.
#[derive(Debug, PartialEq, Eq)]
enum Router {
    /// Nobody has said from where it sees this node.
    Unknown,
    /// Everybody sees an address of this machine.
    Absent,
    /// A router, which shows one port, whoever looks.
    Steady(SocketAddr),
    /// A router; one alone looked, so that it is not known whether others see the same port.
    Seen(SocketAddr),
    /// A router that shows each of them another port.
    Drawn(BTreeSet<SocketAddr>),
}

fn between(reach: &ReachDto, pongs: &[(String, Option<PongDto>)]) -> Router {
    let parse = |text: &String| text.parse::<SocketAddr>().ok();
    let own: BTreeSet<SocketAddr> = reach.addresses.iter().filter_map(parse).collect();
    let by_peers = pongs.iter().filter_map(|(_, pong)| pong.as_ref()?.seen_as.as_ref()?.parse::<SocketAddr>().ok());
    let by_relays = reach.outside.iter().filter_map(parse);
    let all: Vec<SocketAddr> = by_peers.chain(by_relays).collect();
    let foreign: Vec<SocketAddr> = all.iter().copied().filter(|seen| !own.contains(seen)).collect();
    let distinct: BTreeSet<SocketAddr> = foreign.iter().copied().collect();
    match (all.len(), foreign.len(), distinct.first()) {
        (0, ..) => Router::Unknown,
        (_, 0, _) | (.., None) => Router::Absent,
        (_, 1, Some(seen)) => Router::Seen(*seen),
        (.., Some(seen)) if distinct.len() == 1 => Router::Steady(*seen),
        _ if drawn(&distinct) => Router::Drawn(distinct),
        // One port for each of several networks or families: no router draws them.
        (.., Some(seen)) => Router::Steady(*seen),
    }
}

/// Whether one outer address shows several ports.
fn drawn(seen: &BTreeSet<SocketAddr>) -> bool {
    seen.iter().any(|one| seen.iter().any(|other| one.ip() == other.ip() && one.port() != other.port()))
}

fn router(reach: &ReachDto, pongs: &[(String, Option<PongDto>)]) -> Option<Check> {
    const NAME: &str = "NAT";
    let relay = "a member with a public address runs a relay, [mesh.relay] in its hither.toml, and nodes that are both \
                 hidden meet there: docs/reach.md";
    Some(match between(reach, pongs) {
        Router::Unknown => return None,
        Router::Absent => Check::ok(Area::Network, NAME, "none: others see this node at an address of its own machine"),
        Router::Steady(seen) => {
            let found =
                format!("a router shows this node as {seen}, whoever looks: a path straight to others can be found");
            Check::ok(Area::Network, NAME, found)
        }
        Router::Seen(seen) => {
            let found = format!(
                "a router shows this node as {seen} to the one that looked; a second peer or relay would show whether it \
                 draws a port for each"
            );
            Check::ok(Area::Network, NAME, found)
        }
        Router::Drawn(seen) => {
            let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
            let found = format!(
                "a router draws a port for each that this node speaks with ({}): others that are hidden, too, reach it over \
                 a relay alone",
                seen.join(", ")
            );
            Check::warn(Area::Network, NAME, found, relay)
        }
    })
}

fn relays(reach: &ReachDto) -> Vec<Check> {
    const NAME: &str = "relay";
    let is_home = reach.relays.iter().any(|relay| relay.state == RelayStateDto::Home);
    let looked = reach.relays.iter().map(|relay| {
        let found = relay_words(relay);
        match (relay.state, relay.carries) {
            (RelayStateDto::Unreachable, _) if !is_home => {
                let fix = format!("check that it is up, and that TCP and UDP pass to {}", relay.address);
                Check::warn(Area::Network, NAME, found, fix)
            }
            (RelayStateDto::Home, CarriesDto::Hellos) => {
                let fix = "hither invite makes it a member; a permit with action = [\"relay\"] lets ciphertext over it: \
                           docs/reach.md";
                Check::warn(Area::Network, NAME, found, fix)
            }
            _ => Check::ok(Area::Network, NAME, found),
        }
    });
    looked.collect()
}

fn multicast(reach: &ReachDto) -> Option<Check> {
    const NAME: &str = "mDNS";
    let multicast = &reach.multicast;
    let found = match multicast.state {
        MulticastStateDto::Failed => {
            let reason = multicast.reason.as_deref().unwrap_or("unknown");
            let found = format!("members on this machine's networks cannot be looked for: {reason}");
            let fix = "let UDP 5353 pass to 224.0.0.251 and ff02::fb; [mesh] mdns = false if it shall not run";
            return Some(Check::warn(Area::Network, NAME, found, fix));
        }
        MulticastStateDto::Runs => format!("members are looked for on {}", multicast.on.join(", ")),
        MulticastStateDto::Off => "off: [mesh] mdns = false".to_owned(),
        MulticastStateDto::NoNetwork => "not needed: the mesh listens on no network".to_owned(),
        MulticastStateDto::Alone => "quiet: there is no other member to look for".to_owned(),
        MulticastStateDto::Isolated => "quiet: the node is cut off by a drill".to_owned(),
    };
    Some(Check::ok(Area::Network, NAME, found))
}

#[cfg(test)]
mod tests;
