//! The command line: what can be typed, and which part of the program answers it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use hither_node::config::default_data_dir;
use serde_json::Value;

use crate::bench;
use crate::client::Client;
use crate::demo;
use crate::doctor;
use crate::output::{Exit, Screen, Trouble};
use crate::worker;

mod apps;
mod audit;
mod authority;
mod budget;
mod bugreport;
mod explain;
mod init;
mod jobs;
mod ledger;
mod mesh;
mod models;
mod parse;
mod ping;
mod policy;
mod ps;
mod qr;
mod relay;
mod run;
mod sim;
mod status;
mod up;
mod words;

pub(crate) use explain::text as explanation_text;
pub(crate) use run::Table;
pub(crate) use status::{relay_words, text as status_text};

/// Peer-to-peer AI inference: answers here if it can, at the nearest lawful peer if it cannot.
#[derive(Debug, Parser)]
#[command(name = "hither", version, arg_required_else_help = true, propagate_version = true)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by policy, 4 unreachable, 5 over budget.\n\
                        The node is found by its data directory: --data, else $HITHER_DATA, else \
                        $XDG_DATA_HOME/hither, else ~/.local/share/hither.")]
struct Cli {
    /// Answer with one JSON object on stdout.
    #[arg(long, global = true)]
    json: bool,
    /// The data directory of the node.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node of this machine until it is told to stop.
    Up(UpArgs),
    /// Run a relay for members that cannot reach each other: a node without models, for a small public machine.
    Relay(relay::RelayArgs),
    /// Make a new mesh with this node as its first member.
    Init(init::InitArgs),
    /// Make an invite for one new member.
    Invite(mesh::InviteArgs),
    /// Join a mesh by an invite.
    Join(mesh::JoinArgs),
    /// Leave the mesh for good; the data directory, its models and its ledger stay.
    Leave(mesh::LeaveArgs),
    /// List members, or end a membership for good.
    #[command(subcommand)]
    Member(authority::MemberCommand),
    /// Show who may let others in, or change it.
    Authority {
        #[command(subcommand)]
        command: Option<authority::AuthorityCommand>,
    },
    /// Measure round trips to a member, and show whether a relay stands between.
    Ping(ping::PingArgs),
    /// Show this node, its peers, models, power and law.
    Status,
    /// Show what may leave this node today, in bytes and money, and what is spent; and power against its cap.
    Budget {
        /// Only one of them.
        which: Option<budget::Which>,
    },
    /// Look at this machine: what a node has to work with, what it lacks, and what to type.
    Doctor,
    /// Write one file for whoever is asked to help: versions, checks, status, configuration, log; without secrets.
    Bugreport(bugreport::BugreportArgs),
    /// Show which models are loaded, on which device, and why there.
    Ps,
    /// Add, list or fetch models.
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// Give apps keys and limits, list them, take keys away.
    #[command(subcommand)]
    Apps(apps::AppsCommand),
    /// Ask a model something.
    Run(run::RunArgs),
    /// Show what is kept to be answered later, or give it up.
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Show why a request went where it went.
    Explain(explain::ExplainArgs),
    /// Check, test, prove and compare policies, show where they let data go, or put one in force.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Verify, show or reconcile ledgers, without a node.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Reports for auditors: what left, on whose word, and what did not.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Play a scenario in the simulator.
    Sim(sim::SimArgs),
    /// Three sites on this machine, with real models, and a failover to watch.
    Demo(demo::DemoArgs),
    /// Measure real nodes on this machine.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Run one engine for a node.
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
}

/// What `up` is told.
#[derive(Debug, Args)]
struct UpArgs {
    /// The configuration; hither.toml of the data directory if absent.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address of the HTTP interface.
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// The address of the mesh.
    #[arg(long, value_name = "ADDR")]
    mesh: Option<SocketAddr>,
    /// End with the process of this id.
    #[arg(long, value_name = "PID", hide = true)]
    tied_to: Option<i32>,
}

/// What every command knows.
struct Context {
    screen: Screen,
    data: Option<PathBuf>,
}

impl Context {
    /// The data directory of the node that is meant.
    fn data_dir(&self) -> Result<PathBuf, Trouble> {
        match &self.data {
            Some(dir) => Ok(dir.clone()),
            None => default_data_dir().map_err(|error| {
                Trouble::new("E0101", error.to_string()).help("hither --data DIR …").exit(Exit::Usage)
            }),
        }
    }

    /// Runs a future to its end on a runtime of one thread.
    fn wait<T>(&self, future: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Trouble::new("E0102", format!("the machine gives no resources to wait with: {error}")))?;
        runtime.block_on(future)
    }

    /// What a node shows at a path, or answers to a body.
    fn ask(&self, client: &Client, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        match body {
            None => self.wait(client.get(path)),
            Some(body) => self.wait(client.post(path, body)),
        }
    }
}

/// Runs the doctor on the data directory that is meant.
fn look(context: &Context) -> Result<(), Trouble> {
    doctor::doctor(context.screen, &context.data_dir()?, &|client, path, body| context.ask(client, path, body))
}

/// Parses the command line, does what it says, and says how that ended.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done if the terminal is gone; the exit code still speaks.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(Exit::Usage as u8) } else { ExitCode::SUCCESS };
        }
    };
    let context = Context { screen: Screen::new(cli.json), data: cli.data };
    let done = match cli.command {
        Command::Up(args) => up::up(&context, args),
        Command::Relay(args) => relay::relay(&context, args),
        Command::Ping(args) => ping::ping(&context, &args),
        Command::Init(args) => init::init(&context, args),
        Command::Invite(args) => mesh::invite(&context, &args),
        Command::Join(args) => mesh::join(&context, &args),
        Command::Leave(args) => mesh::leave(&context, &args),
        Command::Member(command) => authority::member(&context, command),
        Command::Authority { command } => authority::authority(&context, command),
        Command::Status => status::status(&context),
        Command::Budget { which } => budget::budget(&context, which),
        Command::Doctor => look(&context),
        Command::Bugreport(args) => bugreport::bugreport(&context, &args),
        Command::Ps => ps::ps(&context),
        Command::Models(command) => models::models(&context, command),
        Command::Apps(command) => apps::apps(&context, command),
        Command::Run(args) => run::run(&context, args),
        Command::Jobs(command) => jobs::jobs(&context, &command),
        Command::Explain(args) => explain::explain(&context, &args),
        Command::Policy(command) => policy::policy(&context, command),
        Command::Ledger(command) => ledger::ledger(&context, command),
        Command::Audit(command) => audit::run(&context, command),
        Command::Sim(args) => sim::sim(&context, &args),
        Command::Demo(args) => demo::demo(context.screen, args),
        Command::Bench(command) => bench::bench(context.screen, command),
        Command::Worker(args) => return worker::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => context.screen.trouble(&trouble),
    }
}
