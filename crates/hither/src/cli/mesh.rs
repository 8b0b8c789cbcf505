//! `hither invite` and `hither join`: how a node becomes a member.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hither_api::admin::{InviteDto, InvitedDto, TicketDto};
use hither_types::id::{Operator, SiteName};
use hither_types::member::Role;
use hither_types::place::Jurisdiction;
use serde_json::{Value, json};

use super::{Context, parse, qr, words};
use crate::client::Client;
use crate::output::{Exit, Trouble, plain};

/// What `invite` is told.
#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    /// The site of the new member.
    #[arg(long, value_name = "NAME", value_parser = parse::site)]
    site: SiteName,
    /// Where it stands: ISO 3166, such as FR or DE-BY.
    #[arg(long, value_name = "CODE", value_parser = parse::jurisdiction)]
    jurisdiction: Jurisdiction,
    /// How long the invite holds: 90s, 15m, 1h, 7d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse::span)]
    ttl: Duration,
    /// What it may do, with commas between: serve, request, relay, publish. All of them, if absent.
    #[arg(long, value_name = "ROLES", value_delimiter = ',', value_parser = parse::role)]
    roles: Vec<Role>,
    /// Who runs it; whoever runs this node, if absent.
    #[arg(long, value_name = "NAME", value_parser = parse::operator)]
    operator: Option<Operator>,
    /// Let it in only once somebody has typed the words that its screen shows.
    #[arg(long)]
    confirm: bool,
    /// Show the ticket as a QR code, too, on stderr, for a camera at the other machine.
    #[arg(long)]
    qr: bool,
    /// Stay until it has come, and show the words to compare. So it is on a terminal.
    #[arg(long, conflicts_with = "no_wait")]
    wait: bool,
    /// Print the ticket and end, also on a terminal.
    #[arg(long)]
    no_wait: bool,
}

/// What `join` is told.
#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// The ticket that `hither invite` printed; `-` reads it from stdin, where no other process sees it.
    #[arg(value_name = "TICKET", required_unless_present = "ticket_file", conflicts_with = "ticket_file")]
    ticket: Option<String>,
    /// A file with the ticket: for machines that are set up with nobody before them.
    #[arg(long, value_name = "FILE")]
    ticket_file: Option<PathBuf>,
}

/// What `leave` is told.
#[derive(Debug, Args)]
pub(super) struct LeaveArgs {
    /// Do it: without this, it is only said what would happen.
    #[arg(long)]
    yes: bool,
}

/// Leaves the mesh.
pub(super) fn leave(context: &Context, args: &LeaveArgs) -> Result<(), Trouble> {
    if !args.yes {
        return Err(Trouble::new("E0132", "this node would leave its mesh for good: its key never gets back in")
            .note("the other members forget it; its models, its ledger and its key stay on this machine")
            .help("hither leave --yes")
            .exit(Exit::Usage));
    }
    let client = Client::of(&context.data_dir()?);
    let member: Value = context.wait(client.post("/hither/v1/leave", &json!({})))?;
    context.screen.answer(&member, |_| {
        "This node has left, and is a mesh of one. What it was is kept beside its key as mesh.toml.left-…\n".to_owned()
    });
    Ok(())
}

/// Makes an invite.
pub(super) fn invite(context: &Context, args: &InviteArgs) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let body = InviteDto {
        site: args.site.to_string(),
        jurisdiction: args.jurisdiction.to_string(),
        lifetime_s: args.ttl.as_secs(),
        roles: args.roles.iter().map(ToString::to_string).collect(),
        operator: args.operator.as_ref().map(ToString::to_string),
        confirm: args.confirm,
    };
    let invited: InvitedDto = context.wait(client.post("/hither/v1/invites", &json!(body)))?;
    // The ticket alone on stdout, so that it can be piped.
    context.screen.answer(&json!(invited), |_| format!("{}\n", plain(&invited.ticket)));
    if args.qr {
        eprintln!("{}", qr::drawn(&invited.ticket)?);
    }
    let is_read = !context.screen.is_json();
    let InviteArgs { site, jurisdiction, ttl, .. } = args;
    if is_read {
        let ttl = ttl.as_secs();
        eprintln!("For one new member, site {site} in {jurisdiction}, for {ttl} s. There: hither join TICKET");
    }
    let attended = is_read && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if args.wait || (attended && !args.no_wait) {
        return words::wait_for_guest(context, &client, &invited.invite);
    }
    if args.confirm && is_read {
        eprintln!("It is let in once its words are typed here: hither member confirm WORDS");
    }
    Ok(())
}

/// Joins a mesh.
pub(super) fn join(context: &Context, args: &JoinArgs) -> Result<(), Trouble> {
    let unread = |from: String| {
        move |error: std::io::Error| Trouble::new("E0130", format!("cannot read the ticket from {from}: {error}"))
    };
    let ticket = match (args.ticket.as_deref(), &args.ticket_file) {
        (_, Some(path)) => std::fs::read_to_string(path).map_err(unread(path.display().to_string()))?,
        (Some("-"), None) => std::io::read_to_string(std::io::stdin()).map_err(unread("stdin".to_owned()))?,
        (ticket, None) => ticket.unwrap_or_default().to_owned(),
    };
    let client = Client::of(&context.data_dir()?);
    let body = TicketDto { ticket: ticket.trim().to_owned() };
    let (words, member) = words::join(context, &client, &body)?;
    let mut answer = json!(member);
    answer["words"] = json!(words);
    context.screen.answer(&answer, |colour| {
        let mesh: String = member.mesh.chars().take(10).collect();
        let (site, place) = (colour.bold(&plain(&member.site)), plain(&member.jurisdiction));
        format!("Member of mesh {mesh}: {site} ({place}).\n")
    });
    Ok(())
}
