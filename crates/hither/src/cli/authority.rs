//! `hither member` and `hither authority`: who belongs, and who says so.

use clap::Subcommand;
use hither_api::admin::{AuthorityDto, DoneDto, IssuerDto, NodeDto, PresenceDto, QuorumDto, SampleDto, ViewDto};
use hither_types::id::Operator;
use hither_types::member::Role;
use hither_types::place::Jurisdiction;
use serde_json::json;

use super::{Context, parse, words};
use crate::client::Client;
use crate::output::{Colour, Exit, Trouble, plain};

/// What can be done with members.
#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// List the members: their keys, how well it is known where they stand, and how long their certificates hold.
    Ls,
    /// End the membership of a node for good: every member closes its connections to it at once.
    Revoke {
        /// Its key or the beginning of it, as `hither member ls` shows it; or its site, if one node stands there.
        node: String,
    },
    /// Let in the node that shows these words: an invite with --confirm waits for them.
    Confirm {
        /// The four words, as its screen shows them.
        #[arg(required = true, num_args = 1..)]
        words: Vec<String>,
    },
}

/// What can be done with those who let others in.
#[derive(Debug, Subcommand)]
pub(super) enum AuthorityCommand {
    /// Let a member let others in, too. At the founder of the mesh.
    Appoint {
        /// Its key or the beginning of it, or its site.
        node: String,
        /// Where those whom it lets in must stand, with commas between: ISO 3166, such as DE,FR. Wherever, if absent.
        #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = parse::jurisdiction)]
        within: Vec<Jurisdiction>,
        /// Who must run them, with commas between. Whoever, if absent.
        #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::operator)]
        operators: Vec<Operator>,
        /// What they may do at most, with commas between: serve, request, relay, publish. All of them, if absent.
        #[arg(long, value_name = "ROLES", value_delimiter = ',', value_parser = parse::role)]
        roles: Vec<Role>,
    },
    /// Take that back; members that it let in stay. At the founder of the mesh.
    Dismiss {
        /// Its key or the beginning of it, or its site.
        node: String,
    },
    /// Say that appointments, dismissals, published policies and this need so many approvers beside the founder; 0: none. At the founder.
    Quorum {
        /// How many of them.
        needed: u8,
        /// Who they are, with commas between: keys, the beginnings of keys, or sites.
        #[arg(long, value_name = "NODES", value_delimiter = ',')]
        approvers: Vec<String>,
    },
    /// Approve what the founder proposes. At an approver.
    Approve {
        /// The beginning of its id, as `hither authority` shows it.
        proposal: String,
    },
}

/// Lists members, or ends a membership.
pub(super) fn member(context: &Context, command: MemberCommand) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    match command {
        MemberCommand::Ls => {
            let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
            let member = |node: &NodeDto| {
                let mut member = json!(node.member);
                member["program"] = json!(node.program);
                member["evidence"] = json!(node.evidence);
                member
            };
            let members: Vec<_> = view.nodes.iter().map(member).collect();
            context.screen.answer(&json!(members), |colour| {
                view.nodes.iter().map(|node| line(node, &view.nodes, colour)).collect()
            });
        }
        MemberCommand::Revoke { node } => {
            let key = find(context, &client, &node)?;
            let _: DoneDto = context.wait(client.post(&format!("/hither/v1/members/{key}/revoke"), &json!({})))?;
            context.screen.answer(&json!({ "revoked": key }), |_| {
                format!("{} is no member any more, and its key never gets back in.\n", short(&key))
            });
        }
        MemberCommand::Confirm { words } => {
            let done = words::confirm(context, &client, &words.join(" "))?;
            context.screen.answer(&json!(done), |_| format!("{}\n", plain(&done.message)));
        }
    }
    Ok(())
}

/// Shows who lets others in, or changes it.
pub(super) fn authority(context: &Context, command: Option<AuthorityCommand>) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    match command {
        None => {
            let authority: AuthorityDto = context.wait(client.get("/hither/v1/authority"))?;
            let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
            context.screen.answer(&json!(authority), |colour| described(&authority, &view, colour));
        }
        Some(AuthorityCommand::Appoint { node, within, operators, roles }) => {
            let issuer = IssuerDto {
                node: find(context, &client, &node)?,
                within: named(&within),
                operators: named(&operators),
                roles: named(&roles),
            };
            let done: DoneDto = context.wait(client.post("/hither/v1/issuers", &json!(issuer)))?;
            let text = format!("{} may let others in{}.", short(&issuer.node), range(&issuer));
            said(context, &json!(issuer), &done, &text);
        }
        Some(AuthorityCommand::Dismiss { node }) => {
            let key = find(context, &client, &node)?;
            let done: DoneDto = context.wait(client.delete(&format!("/hither/v1/issuers/{key}")))?;
            said(context, &json!({ "dismissed": key }), &done, &format!("{} lets nobody in any more.", short(&key)));
        }
        Some(AuthorityCommand::Quorum { needed, approvers }) => {
            let approvers: Result<_, _> = approvers.iter().map(|node| find(context, &client, node)).collect();
            let quorum = QuorumDto { needed, approvers: approvers? };
            let done: DoneDto = context.wait(client.post("/hither/v1/quorum", &json!(quorum)))?;
            said(context, &json!(quorum), &done, &format!("The founder needs {needed} approvers from now on."));
        }
        Some(AuthorityCommand::Approve { proposal }) => {
            let done: DoneDto =
                context.wait(client.post(&format!("/hither/v1/proposals/{proposal}/approve"), &json!({})))?;
            said(context, &json!({ "approved": proposal }), &done, "Approved.");
        }
    }
    Ok(())
}

/// Says that something is so, or that it became a proposal.
fn said(context: &Context, object: &serde_json::Value, done: &DoneDto, text: &str) {
    let mut object = object.clone();
    object["proposal"] = json!(done.proposal);
    let text = if done.proposal.is_some() { plain(&done.message) } else { text.to_owned() };
    context.screen.answer(&object, |_| format!("{text}\n"));
}

fn named<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// The whole key of a node that somebody named by its beginning, or by its site.
pub(super) fn find(context: &Context, client: &Client, said: &str) -> Result<String, Trouble> {
    let is_hex = said.chars().all(|c| c.is_ascii_hexdigit());
    if said.len() == 64 && is_hex {
        return Ok(said.to_ascii_lowercase());
    }
    let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
    let fits = |node: &&NodeDto| {
        node.member.site == said
            || (is_hex && said.len() >= 6 && node.member.node.starts_with(&said.to_ascii_lowercase()))
    };
    let found: Vec<&NodeDto> = view.nodes.iter().filter(fits).collect();
    match found[..] {
        [node] => Ok(node.member.node.clone()),
        [] => Err(Trouble::new("E0213", format!("no member has the site or a key that begins with {said:?}"))
            .help("hither member ls")
            .exit(Exit::Usage)),
        _ => {
            Err(Trouble::new("E0213", format!("{} members fit {said:?}; more of the key would say which", found.len()))
                .help("hither member ls")
                .exit(Exit::Usage))
        }
    }
}

fn short(key: &str) -> String {
    key.chars().take(10).collect()
}

fn range(issuer: &IssuerDto) -> String {
    let mut text = String::new();
    let narrowed = (1..Role::ALL.len()).contains(&issuer.roles.len());
    let parts = [
        (" who stand in ", &issuer.within, !issuer.within.is_empty()),
        (", run by ", &issuer.operators, !issuer.operators.is_empty()),
        (", with the roles ", &issuer.roles, narrowed),
    ];
    for (words, list, _) in parts.into_iter().filter(|(.., is_said)| *is_said) {
        text.push_str(&format!("{words}{}", plain(&list.join(", "))));
    }
    text
}

fn line(node: &NodeDto, others: &[NodeDto], colour: Colour) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let left = i128::from(node.member.expires_unix_ms) - i128::try_from(now).unwrap_or(i128::MAX);
    // A server outside the mesh has no certificate.
    let days = match left / 86_400_000 {
        days if days > 36_500 => "no certificate".to_owned(),
        days if left < 0 => format!("its certificate ended {} days ago", -days),
        days => format!("its certificate holds {days} days"),
    };
    let presence = match node.presence {
        PresenceDto::Here => "here",
        PresenceDto::Present => "present",
        PresenceDto::Gone => "gone",
    };
    let by = node.evidence.as_ref().and_then(|evidence| evidence.certificate_by.as_deref());
    let signed = by.map_or_else(String::new, |by| {
        let issuer = others.iter().find(|other| other.member.node == by);
        format!(", signed by {}", issuer.map_or_else(|| short(by), |issuer| plain(&issuer.member.site)))
    });
    let outdated = node.evidence.as_ref().and_then(|evidence| evidence.outdated.as_ref());
    let outdated = outdated.map_or_else(String::new, |outdated| {
        format!("            claimed: {}; an issuer that reaches it makes it anew\n", plain(&outdated.words))
    });
    let program = node.program.as_deref().map_or_else(|| "?".to_owned(), plain);
    let roles = match node.member.roles.len() == Role::ALL.len() {
        true => String::new(),
        false => format!(", its roles: {}", plain(&node.member.roles.join(", "))),
    };
    format!(
        "{}  {}  {:6}  {:12}  {presence:8} {program:10} {:8} {days}{signed}{roles}\n{outdated}{}",
        short(&node.member.node),
        colour.bold(&format!("{:16}", plain(&node.member.site))),
        plain(&node.member.jurisdiction),
        plain(&node.member.operator),
        plain(&node.member.assurance),
        node.evidence.iter().flat_map(|evidence| &evidence.samples).map(measured).collect::<String>(),
    )
}

/// What a member measured of another, and whether it counts.
fn measured(sample: &SampleDto) -> String {
    let millis = |us: u64| format!("{:.1} ms", us as f64 / 1000.0);
    let by = sample.site.as_deref().map_or_else(|| short(&sample.anchor), plain);
    let age = sample.age_us.map_or_else(|| "in the future".to_owned(), |us| format!("{} min ago", us / 60_000_000));
    let weight = match (sample.weight.as_str(), sample.before_us) {
        ("moved", Some(before)) => format!("moved, before {}", millis(before)),
        ("no_anchor", _) => "no anchor".to_owned(),
        (weight, _) => plain(weight),
    };
    format!("            {} from {by}, {} km at most, {age}: {weight}\n", millis(sample.rtt_us), sample.bound_km)
}

fn described(authority: &AuthorityDto, view: &ViewDto, colour: Colour) -> String {
    let site = |key: &str| {
        let known = view.nodes.iter().find(|node| node.member.node == key);
        known.map_or_else(String::new, |node| format!("  {}", plain(&node.member.site)))
    };
    let mut text = format!("mesh {}, {} entries in its authority log\n", short(&authority.mesh), authority.entries);
    let founder = colour.bold(&short(&authority.founder));
    text.push_str(&format!("founder  {founder}{}\n", site(&authority.founder)));
    for issuer in &authority.issuers {
        text.push_str(&format!("issuer   {}{}{}\n", short(&issuer.node), site(&issuer.node), range(issuer)));
    }
    let QuorumDto { needed, approvers } = &authority.quorum;
    for node in approvers {
        text.push_str(&format!("approver {}{}  one of {needed} that are needed\n", short(node), site(node)));
    }
    for proposal in &authority.proposals {
        let (id, change) = (short(&proposal.id), plain(&proposal.change));
        let count = proposal.approved.len();
        text.push_str(&format!(
            "proposed {id}  {change}; {count} of {needed} approve: hither authority approve {id}\n"
        ));
    }
    for node in &authority.revoked {
        text.push_str(&format!("revoked  {}\n", short(node)));
    }
    text
}
