//! `hither policy publish|withdraw|published`: policies that the founder of a mesh signs for the nodes of a range.

use std::path::Path;

use hither_api::admin::{
    DoneDto, NewPublicationDto, NodeDto, PoliciesDto, PolicyDto, PolicyTextDto, PresenceDto, PublicationDto, ViewDto,
};
use serde_json::{Value, json};

use super::apply::in_force;
use super::diff::Difference;
use super::{RangeArgs, head, hold_tests, load_text};
use crate::cli::Context;
use crate::client::Client;
use crate::output::{Colour, Exit, Trouble, plain};

/// Runs the tests of the file, shows what it changes here, and signs it into the authority log unless it is a rehearsal.
pub(super) fn publish(context: &Context, file: &Path, range: &RangeArgs, dry_run: bool) -> Result<(), Trouble> {
    let (new, text) = load_text(file)?;
    hold_tests(&new, &text, file)?;
    let client = Client::of(&context.data_dir()?);
    let before: PolicyDto = context.wait(client.get("/hither/v1/policy"))?;
    // That the change is too large to be told keeps nobody from making it.
    let old = in_force(&before)?;
    let difference = Difference::of(&old, &new);
    let done = match dry_run {
        true => None,
        false => Some(context.wait::<DoneDto>(client.post("/hither/v1/policies", &body(Some(text), range)))?),
    };
    let told = difference.as_ref().map_or(Value::Null, Difference::object);
    let proposal = done.as_ref().and_then(|done| done.proposal.clone());
    let object = json!({
        "dry_run": dry_run, "digest": new.digest.to_string(), "version": new.version, "proposal": proposal, "changes": told,
    });
    context.screen.answer(&object, |colour| {
        let mut out = match &difference {
            Ok(difference) => difference.text(colour),
            Err(trouble) => format!("what changes is not told: {}\n", trouble.message),
        };
        out.push_str(&match &done {
            None => format!("nothing was done: hither policy publish {}\n", file.display()),
            Some(DoneDto { proposal: Some(_), message }) => format!("{}\n", plain(message)),
            Some(DoneDto { proposal: None, .. }) => {
                format!("{} published for {}: {}\n", colour.green("ok"), whom(range), head(&new))
            }
        });
        out
    });
    Ok(())
}

/// Takes back what was published.
pub(super) fn withdraw(context: &Context, range: &RangeArgs) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let done: DoneDto = context.wait(client.post("/hither/v1/policies", &body(None, range)))?;
    context.screen.answer(&json!({ "proposal": done.proposal }), |colour| match done.proposal {
        Some(_) => format!("{}\n", plain(&done.message)),
        None => format!("{} nothing is published for {} any more\n", colour.green("ok"), whom(range)),
    });
    Ok(())
}

fn body(text: Option<String>, range: &RangeArgs) -> Value {
    let (within, operators) = (words(&range.within), words(&range.operators));
    json!(NewPublicationDto { text, within, operators })
}

fn words<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn whom(range: &RangeArgs) -> String {
    described(&words(&range.within), &words(&range.operators))
}

/// For which nodes a policy is.
fn described(within: &[String], operators: &[String]) -> String {
    let stand = (!within.is_empty()).then(|| format!(" that stand in {}", plain(&within.join(", "))));
    let run = (!operators.is_empty()).then(|| format!(" of {}", plain(&operators.join(", "))));
    match (run, stand) {
        (None, None) => "all nodes".to_owned(),
        (run, stand) => format!("nodes{}{}", run.unwrap_or_default(), stand.unwrap_or_default()),
    }
}

/// Shows what is published, and who lives by what.
pub(super) fn list(context: &Context) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let published: PoliciesDto = context.wait(client.get("/hither/v1/policies"))?;
    let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
    let members: Vec<&NodeDto> = view.nodes.iter().filter(|node| node.policy.is_some()).collect();
    let line = |node: &&NodeDto| json!({"node": node.member.node, "site": node.member.site, "policy": node.policy});
    let mut object = json!(published);
    object["members"] = members.iter().map(line).collect();
    context.screen.answer(&object, |colour| told(&published, &members, colour));
    Ok(())
}

fn told(published: &PoliciesDto, members: &[&NodeDto], colour: Colour) -> String {
    let mut out = String::new();
    for PublicationDto { digest, version, within, operators, here, held } in &published.published {
        let mark = if *here { colour.green("here") } else { "    ".to_owned() };
        let absent = if *held { "" } else { ", whose text has not come here yet" };
        out.push_str(&format!(
            "{mark} version {version}, b3:{}: for {}{absent}\n",
            short(digest),
            described(within, operators)
        ));
    }
    if published.published.is_empty() {
        out.push_str("no policy is published: each node lives by its own file\n");
    } else if let Some(why) = &published.apart {
        out.push_str(&format!("this node does not live by what is published for it: {}\n", plain(why)));
    }
    for node in members {
        let policy = node.policy.as_deref().unwrap_or_default();
        let of = published.published.iter().find(|held| held.digest == policy);
        let named = of.map_or_else(|| "a policy of its own".to_owned(), |held| format!("version {}", held.version));
        let gone = if node.presence == PresenceDto::Gone { ", when it was heard last" } else { "" };
        out.push_str(&format!(
            "  {:16} {}  b3:{}  {named}{gone}\n",
            plain(&node.member.site),
            short(&node.member.node),
            short(policy)
        ));
    }
    out
}

fn short(digest: &str) -> String {
    plain(&digest.chars().take(10).collect::<String>())
}

/// Shows the text of a policy, byte by byte: its BLAKE3 is the digest.
pub(super) fn text(context: &Context, digest: &str) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let digest = digest.strip_prefix("b3:").unwrap_or(digest);
    if !digest.chars().all(|c| c.is_ascii_hexdigit()) {
        let text = format!("{:?} is no beginning of a digest: those have hexadecimal digits", plain(digest));
        return Err(Trouble::new("E0318", text).help("hither policy published").exit(Exit::Usage));
    }
    let found: PolicyTextDto = context.wait(client.get(&format!("/hither/v1/policies/{digest}")))?;
    context.screen.answer(&json!(found), |_| found.text.clone());
    Ok(())
}
