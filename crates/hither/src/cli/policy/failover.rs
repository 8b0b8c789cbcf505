//! How many places a policy leaves for failover in the mesh of the node that runs here.

use hither_api::admin::{MemberDto, PresenceDto, ViewDto};
use hither_node::law::{Reach, TooMany, reach_of};
use hither_types::id::Operator;
use hither_types::label::DataClass;
use hither_types::law::Policy;
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

/// What was seen of it.
pub(super) enum Failover {
    /// Nothing; why.
    NotLooked(String),
    /// The node, how many other members it sees, and the places for each class.
    Looked {
        /// The site of the node.
        site: String,
        /// Where it stands.
        jurisdiction: String,
        /// Members that are present beside it.
        others: usize,
        /// In the order of the classes.
        classes: Vec<Left>,
    },
}

/// Places that are left for data of one class.
pub(super) struct Left {
    class: DataClass,
    /// Sites that may take every request.
    all: Vec<String>,
    /// Sites that may take some: of certain apps, models, purposes or without certain tags.
    some: Vec<String>,
}

/// The picture of the node that runs here.
pub(super) fn view(context: &Context) -> Result<ViewDto, Trouble> {
    let client = Client::of(&context.data_dir()?);
    context.wait(client.get("/hither/v1/view"))
}

/// Judges each member that is present by a policy, as the node here would.
pub(super) fn look(context: &Context, policy: &Policy) -> Failover {
    match view(context) {
        Ok(view) => count(&view, policy).unwrap_or_else(|reason| Failover::NotLooked(reason.to_owned())),
        Err(trouble) => Failover::NotLooked(trouble.message),
    }
}

fn count(view: &ViewDto, policy: &Policy) -> Result<Failover, &'static str> {
    const UNREAD: &str = "the node says something of its members that this program does not know";
    let me = facts(&view.me).ok_or(UNREAD)?;
    let may_ask = view.me.roles.iter().any(|role| role == "request");
    let present = view.nodes.iter().filter(|node| node.presence == PresenceDto::Present).map(|node| &node.member);
    let serving: Vec<&MemberDto> = present.filter(|member| member.roles.iter().any(|role| role == "serve")).collect();
    // Of members that are the same to the law, one is judged.
    let mut judged: Vec<(PlaceFacts, Vec<Reach>)> = Vec::new();
    let mut classes = DataClass::ALL.map(|class| Left { class, all: Vec::new(), some: Vec::new() });
    for member in serving.iter().filter(|_| may_ask) {
        let place = facts(member).ok_or(UNREAD)?;
        let at = match judged.iter().position(|(known, _)| *known == place) {
            Some(at) => at,
            None => {
                let reach = reach(policy, &me, &place)?;
                judged.push((place, reach));
                judged.len() - 1
            }
        };
        for (left, reach) in classes.iter_mut().zip(&judged[at].1) {
            match () {
                () if reach.is_all() => left.all.push(member.site.clone()),
                () if !reach.is_none() => left.some.push(member.site.clone()),
                () => {}
            }
        }
    }
    let (site, jurisdiction) = (view.me.site.clone(), view.me.jurisdiction.clone());
    Ok(Failover::Looked { site, jurisdiction, others: serving.len(), classes: classes.into() })
}

/// Whether a policy lets any data go from one member to another.
pub(super) fn is_open_to(policy: &Policy, me: &MemberDto, other: &MemberDto) -> Result<bool, &'static str> {
    const UNREAD: &str = "the node says something of them that this program does not know";
    let reach = reach(policy, &facts(me).ok_or(UNREAD)?, &facts(other).ok_or(UNREAD)?)?;
    Ok(reach.iter().any(|reach| !reach.is_none()))
}

/// What a place may take, class by class.
fn reach(policy: &Policy, me: &PlaceFacts, place: &PlaceFacts) -> Result<Vec<Reach>, &'static str> {
    let countries = hither_law::countries();
    let of = |class| reach_of(policy, class, (me.jurisdiction, &me.operator), place, &countries);
    let reach: Result<Vec<Reach>, TooMany> = DataClass::ALL.into_iter().map(of).collect();
    reach.map_err(|_| "the rules tell too many cases apart to look at all of them")
}

fn facts(member: &MemberDto) -> Option<PlaceFacts> {
    let assurance = match member.assurance.as_str() {
        "claimed" => Assurance::Claimed,
        "vouched" => Assurance::Vouched,
        "near" => Assurance::Near,
        "hardware" => Assurance::Hardware,
        _ => return None,
    };
    let control = match &member.control {
        None => None,
        Some(states) => Some(states.iter().map(|state| Jurisdiction::parse(state).ok()).collect::<Option<Vec<_>>>()?),
    };
    Some(PlaceFacts {
        node: None,
        site: None,
        jurisdiction: Jurisdiction::parse(&member.jurisdiction).ok()?,
        control,
        operator: Operator::parse(&member.operator).ok()?,
        assurance,
    })
}

impl Failover {
    /// For a machine.
    pub(super) fn object(&self) -> Value {
        match self {
            Self::NotLooked(reason) => json!({"looked": false, "reason": reason}),
            Self::Looked { site, jurisdiction, others, classes } => json!({
                "looked": true, "site": site, "jurisdiction": jurisdiction, "others": others,
                "classes": classes.iter().map(|left| json!({
                    "class": left.class.as_str(), "places": left.all.len() + left.some.len(),
                    "for_all": left.all, "for_some": left.some,
                })).collect::<Vec<_>>(),
            }),
        }
    }

    /// For a person.
    pub(super) fn text(&self, colour: Colour) -> String {
        match self {
            Self::NotLooked(reason) => {
                format!("  failover in the mesh was not looked at: {}\n", plain(reason))
            }
            Self::Looked { site, jurisdiction, others, classes } => {
                let members = if *others == 1 { "one other member that serves" } else { "other members that serve" };
                let count = if *others == 1 { String::new() } else { format!("{others} ") };
                let (site, place) = (plain(site), plain(jurisdiction));
                let mut text = format!("  failover from {site} ({place}), which sees {count}{members}:\n");
                classes.iter().for_each(|left| text.push_str(&left.text(colour)));
                text
            }
        }
    }
}

impl Left {
    fn text(&self, colour: Colour) -> String {
        let Self { class, all, some } = self;
        let count = all.len() + some.len();
        let mark = if count < 2 { colour.red("!") } else { " ".to_owned() };
        let places = match count {
            0 => "no place left: it stays where it enters".to_owned(),
            1 => "one place left: ".to_owned(),
            more => format!("{more} places left: "),
        };
        let under = |site: &String| format!("{site} (for some requests)");
        let sites: Vec<String> = all.iter().cloned().chain(some.iter().map(under)).collect();
        format!("  {mark} {:<10}{places}{}\n", class.as_str(), plain(&sites.join(", ")))
    }
}
