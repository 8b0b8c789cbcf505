//! `hither policy firewall`: rules for the kernel of a machine, or of the gateway before it, which count and stop what a node sends
//! to anybody but members of its mesh. They are evidence that does not come from the program itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use hither_api::admin::{PresenceDto, ViewDto};
use hither_types::law::Policy;
use serde_json::json;

use super::failover::{is_open_to, view};
use super::{head, head_object};
use crate::cli::Context;
use crate::output::Trouble;

#[cfg(test)]
mod tests;

/// Addresses of members, with and without a permit for anything.
#[derive(Debug, Default, PartialEq, Eq)]
struct Members {
    own: BTreeSet<SocketAddr>,
    lawful: BTreeSet<SocketAddr>,
    others: BTreeSet<SocketAddr>,
}

/// Shows the rules: of the user that the node runs as, or of its packets at a gateway.
pub(super) fn firewall(context: &Context, policy: &Policy, uid: Option<u32>) -> Result<(), Trouble> {
    let view = view(context)?;
    let members = members(&view, policy).map_err(|reason| {
        Trouble::new("E0340", format!("members cannot be judged: {reason}")).help("hither policy check FILE")
    })?;
    if uid.is_none() && members.own.is_empty() {
        let text = "the node that runs here has no address by which a gateway would know it";
        return Err(
            Trouble::new("E0340", text).help("hither policy firewall FILE --uid UID   is for this machine itself")
        );
    }
    let title = format!("policy {}, as site {} sees its mesh", head(policy), view.me.site);
    let rules = rules(&title, &members, uid);
    let list = |all: &BTreeSet<SocketAddr>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let object = json!({
        "policy": head_object(policy), "rules": rules,
        "lawful": list(&members.lawful), "others": list(&members.others), "own": list(&members.own),
    });
    context.screen.answer(&object, |_| rules.clone());
    Ok(())
}

fn members(view: &ViewDto, policy: &Policy) -> Result<Members, &'static str> {
    let mut members = Members::default();
    for node in &view.nodes {
        let addresses = node.addresses.iter().filter_map(|text| text.parse::<SocketAddr>().ok());
        let list = match node.presence {
            PresenceDto::Here => &mut members.own,
            _ if is_open_to(policy, &view.me, &node.member)? => &mut members.lawful,
            _ => &mut members.others,
        };
        list.extend(addresses.filter(|address| !address.ip().is_unspecified()));
    }
    let reach = view.reach.iter().flat_map(|reach| &reach.addresses);
    members.own.extend(reach.filter_map(|text| text.parse::<SocketAddr>().ok()));
    // An address that somebody with a permit has, too, is not one of those without.
    members.others.retain(|address| !members.lawful.contains(address));
    Ok(members)
}

/// The rules in the words of nftables.
fn rules(title: &str, members: &Members, uid: Option<u32>) -> String {
    let mut out = format!(
        "# {title}\n# Make them anew when members or the policy change; nft -f FILE puts them in the place of the old ones.\n"
    );
    // Writing to a string does not fail.
    let _ = writeln!(out, "table inet hither\ndelete table inet hither\ntable inet hither {{");
    for (name, told) in [
        ("lawful", "packets to members to whom the policy lets something go"),
        ("talk", "packets to other members: who is there, and nothing else"),
        ("leak", "packets to anybody else, which are stopped: 0 is what it should say"),
    ] {
        let _ = writeln!(out, "  counter {name} {{ comment \"{told}\" }}");
    }
    for (name, addresses) in [("lawful", &members.lawful), ("others", &members.others), ("own", &members.own)] {
        for (family, kind) in [("4", "ipv4_addr"), ("6", "ipv6_addr")] {
            let fits = |address: &&SocketAddr| address.is_ipv4() == (family == "4");
            let elements: Vec<String> =
                addresses.iter().filter(fits).map(|address| format!("{} . {}", address.ip(), address.port())).collect();
            let elements = match elements.as_slice() {
                [] => String::new(),
                some => format!(" elements = {{ {} }};", some.join(", ")),
            };
            let _ = writeln!(out, "  set {name}{family} {{ type {kind} . inet_service;{elements} }}");
        }
    }
    out.push_str(&match uid {
        Some(uid) => format!(
            // What the kernel sends by itself has no user, and is judged by nobody.
            "  chain output {{\n    type filter hook output priority 0; policy accept;\n    meta skuid {uid} goto judge\n  }}\n  \
             chain judge {{\n"
        ),
        None => "  chain forward {\n    type filter hook forward priority 0; policy accept;\n    \
                 ip saddr . udp sport @own4 goto judge\n    ip6 saddr . udp sport @own6 goto judge\n  }\n  chain judge {\n"
            .to_owned(),
    });
    for (set, counter) in [("lawful", "lawful"), ("others", "talk")] {
        let _ = writeln!(out, "    ip daddr . udp dport @{set}4 counter name {counter} accept");
        let _ = writeln!(out, "    ip6 daddr . udp dport @{set}6 counter name {counter} accept");
    }
    // Behind the members, so that those on this machine are counted as well.
    let verdict = match uid {
        Some(_) => {
            out.push_str(
                "    oifname \"lo\" return\n    # Answers to clients of the API, who came by themselves.\n    \
                 ct direction reply meta l4proto tcp return\n    \
                 # What else this machine's node needs, such as names or servers outside the mesh, goes here.\n",
            );
            "reject"
        }
        None => "drop",
    };
    let _ = writeln!(out, "    counter name leak {verdict}\n  }}\n}}");
    out
}
