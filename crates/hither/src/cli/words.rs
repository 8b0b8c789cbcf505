//! The words of an invite, on both screens: compared by people, or read from one and typed at the other.

use std::io::BufRead as _;
use std::time::Duration;

use hither_api::admin::{DoneDto, InviteStageDto, InviteStateDto, JoinDto, MemberDto, TicketDto, WordsDto};
use serde_json::json;

use super::Context;
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

/// How often the node is asked how far it is.
const LOOK: Duration = Duration::from_millis(300);

/// Stays until somebody has come with an invite, and shows its words, or has them typed.
pub(super) fn wait_for_guest(context: &Context, client: &Client, invite: &str) -> Result<(), Trouble> {
    eprintln!("Waiting until it comes; Ctrl-C ends the waiting, not the invite.");
    let mut asks = true;
    loop {
        let state: InviteStateDto = context.wait(client.get(&format!("/hither/v1/invites/{invite}")))?;
        match state.stage {
            InviteStageDto::Open | InviteStageDto::Met => {}
            InviteStageDto::Waiting if asks => asks = ask_for_words(context, client, &state)?,
            InviteStageDto::Waiting => {}
            InviteStageDto::Joined | InviteStageDto::Used => {
                welcome(&state);
                return Ok(());
            }
            InviteStageDto::Expired => {
                return Err(Trouble::new("E0202", "nobody was let in by this invite, and its time is over")
                    .help("hither invite"));
            }
        }
        context.wait(pause())?;
    }
}

/// Has the words of a waiting node typed. Says whether to ask again: at the end of the input nobody is there to type.
fn ask_for_words(context: &Context, client: &Client, state: &InviteStateDto) -> Result<bool, Trouble> {
    let node: String = state.node.as_deref().unwrap_or("?").chars().take(10).collect();
    eprintln!(
        "Node {node} is here. Type the four words that its screen shows; if it shows none, it is somebody else's:"
    );
    let mut typed = String::new();
    let read = std::io::stdin().lock().read_line(&mut typed);
    if read.map_err(|error| Trouble::new("E0133", format!("the words cannot be read from stdin: {error}")))? == 0 {
        eprintln!("It waits; elsewhere on this machine: hither member confirm WORDS");
        return Ok(false);
    }
    if !typed.trim().is_empty()
        && let Err(trouble) = confirm(context, client, &typed)
    {
        context.screen.trouble(&trouble);
    }
    Ok(true)
}

/// Lets in the node that shows these words.
pub(super) fn confirm(context: &Context, client: &Client, typed: &str) -> Result<DoneDto, Trouble> {
    let body = WordsDto { words: typed.trim().to_owned() };
    context.wait(client.post("/hither/v1/invites/confirm", &json!(body)))
}

fn welcome(state: &InviteStateDto) {
    let node: String = state.node.as_deref().unwrap_or("It").chars().take(10).collect();
    match &state.words {
        Some(words) => eprintln!(
            "{node} is a member. Its screen must show these words, or it is somebody else, and hither member revoke {node} \
             ends it:\n\n    {}\n",
            shown(words)
        ),
        None => eprintln!("{node} is a member."),
    }
}

fn shown(words: &str) -> String {
    Colour::of_stderr().bold(&plain(words))
}

/// Joins, and shows the words as soon as they are known.
pub(super) fn join(
    context: &Context,
    client: &Client,
    ticket: &TicketDto,
) -> Result<(Option<String>, MemberDto), Trouble> {
    let mut join: JoinDto = context.wait(client.post("/hither/v1/join", &json!(ticket)))?;
    if let Some(words) = join.words.as_deref().filter(|_| !context.screen.is_json() || join.member.is_none()) {
        let why = match join.member {
            Some(_) => "The screen of hither invite shows the same words, if nobody stands between:",
            None => "Not let in yet: type these words at the node that made the invite, hither member confirm WORDS:",
        };
        eprintln!("{why}\n\n    {}\n", shown(words));
    }
    loop {
        if let Some(member) = join.member {
            return Ok((join.words, member));
        }
        context.wait(pause())?;
        join = context.wait(client.get("/hither/v1/join"))?;
    }
}

async fn pause() -> Result<(), Trouble> {
    tokio::time::sleep(LOOK).await;
    Ok(())
}
