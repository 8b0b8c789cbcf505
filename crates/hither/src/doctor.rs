//! `hither doctor`: what this machine gives a node, and what to type where it does not give enough. It needs no running
//! node, and says more with one.
//!
//! Each check is a function that gives a value and prints nothing. What reads the kernel's files takes their root as a
//! parameter, so that a test can make up a machine.

use std::path::{Path, PathBuf};

use hither_api::admin::{PongDto, PresenceDto, ViewDto};
use hither_node::config::{NodeConfig, Overrides};
use serde_json::{Value, json};

use crate::client::Client;
use crate::output::{Colour, Exit, Screen, Trouble, chain, plain};

mod disk;
mod engines;
mod law;
mod machine;
mod network;
mod reach;
mod sandbox;
mod secrets;
#[cfg(test)]
mod tests;

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Area {
    Machine,
    Sandbox,
    Engines,
    Disk,
    Secrets,
    Network,
    Law,
}

impl Area {
    fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Sandbox => "sandbox",
            Self::Engines => "engines",
            Self::Disk => "disk",
            Self::Secrets => "secrets",
            Self::Network => "network",
            Self::Law => "law",
        }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// As it should be.
    Ok,
    /// A node works, and less well or less safely than it could.
    Warn,
    /// A node does not work.
    Fail,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    area: Area,
    name: &'static str,
    state: State,
    /// What was found, in a sentence.
    found: String,
    /// What to type, or to write where. Empty if there is nothing to mend.
    fix: String,
}

impl Check {
    fn ok(area: Area, name: &'static str, found: impl Into<String>) -> Self {
        Self { area, name, state: State::Ok, found: found.into(), fix: String::new() }
    }

    fn warn(area: Area, name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { area, name, state: State::Warn, found: found.into(), fix: fix.into() }
    }

    fn fail(area: Area, name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { area, name, state: State::Fail, found: found.into(), fix: fix.into() }
    }
}

/// A node that runs on the data directory.
struct Running {
    /// Its process, if the kernel tells.
    pid: Option<u32>,
    view: ViewDto,
    /// What those peers answered that are there: by site, and nothing of one that could not be asked.
    pongs: Vec<(String, Option<PongDto>)>,
}

/// Peers that are asked how they see this node: enough to tell a router that draws ports, few enough to wait for.
const PEERS_ASKED: usize = 6;

/// Gets what a path shows, or what it answers to a body.
type Ask<'a> = &'a dyn Fn(&Client, &str, Option<&Value>) -> Result<Value, Trouble>;

/// Looks at everything, prints it, and fails if something does.
pub(crate) fn doctor(screen: Screen, data_dir: &Path, ask: Ask<'_>) -> Result<(), Trouble> {
    answer(screen, &look(data_dir, ask))
}

/// What the doctor would say, for a report.
pub(crate) fn report(data_dir: &Path, ask: Ask<'_>) -> Value {
    whole(&look(data_dir, ask))
}

fn look(data_dir: &Path, ask: Ask<'_>) -> Vec<Check> {
    let root = Path::new("/");
    let overrides = Overrides { data_dir: Some(data_dir.to_owned()), ..Overrides::default() };
    let loaded = NodeConfig::load(None, overrides);
    let mut checks = machine::checks(root);
    let socket = match &loaded {
        Ok(config) => config.api_socket.clone(),
        Err(_) => data_dir.join("api.sock"),
    };
    let running = running(&socket, ask);
    checks.extend(sandbox::checks());
    checks.extend(engines::checks(loaded.as_ref().ok()));
    checks.extend(disk::checks(data_dir));
    checks.extend(secrets::checks(root, data_dir, running.as_ref().and_then(|running| running.pid)));
    checks.extend(network::checks(root, loaded.as_ref().ok(), data_dir, running.as_ref()));
    checks.extend(running.iter().flat_map(|running| reach::checks(&running.view, &running.pongs)));
    checks.extend(law::checks(loaded.as_ref().map_err(|error| chain(error)), data_dir));
    checks.sort_by_key(|check| check.area);
    checks
}

/// The node that answers on the socket, if one does.
fn running(socket: &PathBuf, ask: Ask<'_>) -> Option<Running> {
    let stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok();
    let client = Client::by_socket(socket);
    let view: ViewDto = serde_json::from_value(ask(&client, "/hither/v1/view", None).ok()?).ok()?;
    let pid = peer.and_then(|peer| u32::try_from(peer.pid.as_raw_nonzero().get()).ok());
    let there = view.nodes.iter().filter(|node| node.presence == PresenceDto::Present);
    let pongs = there.take(PEERS_ASKED).map(|node| {
        let path = format!("/hither/v1/members/{}/ping", node.member.node);
        let pong = ask(&client, &path, Some(&json!({ "count": 1 }))).ok();
        (node.member.site.clone(), pong.and_then(|pong| serde_json::from_value(pong).ok()))
    });
    let pongs = pongs.collect();
    Some(Running { pid, view, pongs })
}

/// All checks, for a machine.
fn whole(checks: &[Check]) -> Value {
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (failed, warned) = (count(State::Fail), count(State::Warn));
    let list: Vec<Value> = checks.iter().map(object).collect();
    json!({"ok": failed == 0, "failed": failed, "warned": warned, "checks": list})
}

fn answer(screen: Screen, checks: &[Check]) -> Result<(), Trouble> {
    let failed = checks.iter().filter(|check| check.state == State::Fail).count();
    screen.answer(&whole(checks), |colour| text(checks, colour));
    if failed == 0 {
        return Ok(());
    }
    let noun = if failed == 1 { "check fails" } else { "checks fail" };
    let trouble = Trouble::new("E0802", format!("{failed} {noun}")).exit(Exit::Failed);
    // The list, and what to type, is on the screen already.
    Err(trouble.quiet())
}

fn object(check: &Check) -> Value {
    json!({
        "area": check.area.as_str(), "name": check.name, "state": check.state.as_str(), "found": check.found,
        "fix": check.fix,
    })
}

/// The checks for a person, by area.
fn text(checks: &[Check], colour: Colour) -> String {
    let mut text = String::new();
    let mut area = None;
    for check in checks {
        if area.replace(check.area) != Some(check.area) {
            text.push_str(&format!("{}\n", colour.bold(check.area.as_str())));
        }
        let mark = match check.state {
            State::Ok => colour.green("✓"),
            State::Warn => colour.bold("!"),
            State::Fail => colour.red("✗"),
        };
        text.push_str(&format!("  {mark} {:<16} {}\n", check.name, plain(&check.found)));
        if !check.fix.is_empty() {
            text.push_str(&format!("    {:<16} {} {}\n", "", colour.green("help:"), plain(&check.fix)));
        }
    }
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    text.push_str(&format!(
        "{} ok, {} to look at, {} failed\n",
        count(State::Ok),
        count(State::Warn),
        count(State::Fail)
    ));
    text
}
