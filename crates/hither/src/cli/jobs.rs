//! `hither jobs`: what this node keeps to be answered later. Without content: that is for the app whose job it is.

use clap::Subcommand;
use hither_api::jobs::{JobDto, JobId, JobsDto, TriedDto};
use hither_api::trainings::TrainingId;
use serde_json::json;

use super::Context;
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};
use submit::SubmitArgs;
use train::TrainArgs;

mod submit;
mod train;

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// Hand in the lines of a file, each a job that is answered once, and kept until then. The same file again is the same jobs.
    Submit(SubmitArgs),
    /// Hand a file of chats over to a server outside the mesh that trains a model with them. The law has to permit both that they
    /// are worked on there (infer) and that they rest there (enqueue).
    Train(TrainArgs),
    /// List what was handed over to train with, the newest first, as it was known last.
    Trainings {
        /// How many at most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// List the jobs of all apps, the newest first.
    Ls {
        /// How many at most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Only those older than this one.
        #[arg(long, value_name = "ID", value_parser = job)]
        after: Option<JobId>,
    },
    /// Show how far a job or a training is, where it went and by which rule, or why it did not.
    Show {
        /// Its id.
        #[arg(value_parser = named)]
        id: Named,
    },
    /// Give a job or a training up that has not ended.
    Cancel {
        /// Its id.
        #[arg(value_parser = named)]
        id: Named,
    },
}

/// What an id names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named {
    /// A job.
    Job(JobId),
    /// A training.
    Training(TrainingId),
}

fn job(text: &str) -> Result<JobId, String> {
    JobId::parse(text).map_err(|error| error.to_string())
}

fn named(text: &str) -> Result<Named, String> {
    match TrainingId::parse(text) {
        Some(id) => Ok(Named::Training(id)),
        None => job(text).map(Named::Job).map_err(|error| format!("{error}; or that of a training (ftjob-…)")),
    }
}

/// Does it.
pub(super) fn jobs(context: &Context, command: &JobsCommand) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    match command {
        JobsCommand::Submit(asked) => submit::submit(context, &client, asked)?,
        JobsCommand::Ls { limit, after } => {
            let after = after.map_or_else(String::new, |after| format!("&after={after}"));
            let path = format!("/hither/v1/jobs?limit={limit}{after}");
            let jobs: JobsDto = context.wait(client.get(&path))?;
            context.screen.answer(&json!(jobs), |colour| list(&jobs, colour));
        }
        JobsCommand::Train(asked) => train::train(context, &client, asked)?,
        JobsCommand::Trainings { limit } => train::list(context, &client, *limit)?,
        JobsCommand::Show { id: Named::Training(id) } => train::one(context, &client, *id, false)?,
        JobsCommand::Cancel { id: Named::Training(id) } => train::one(context, &client, *id, true)?,
        JobsCommand::Show { id: Named::Job(id) } => {
            let job: JobDto = context.wait(client.get(&format!("/hither/v1/jobs/{id}")))?;
            context.screen.answer(&json!(job), |colour| text(&job, colour));
        }
        JobsCommand::Cancel { id: Named::Job(id) } => {
            let job: JobDto = context.wait(client.post(&format!("/hither/v1/jobs/{id}/cancel"), &json!({})))?;
            context.screen.answer(&json!(job), |colour| text(&job, colour));
        }
    }
    Ok(())
}

fn status(job: &JobDto, colour: Colour) -> String {
    let word = format!("{:9}", plain(&job.status));
    match job.status.as_str() {
        "done" => colour.green(&word),
        "failed" | "expired" => colour.red(&word),
        _ => word,
    }
}

fn list(jobs: &JobsDto, colour: Colour) -> String {
    let Some(last) = jobs.data.last() else {
        return "no jobs: an app hands one in with POST /v1/jobs, and hither jobs submit FILE hands in those of a file\n".to_owned();
    };
    let mut text = String::new();
    for job in &jobs.data {
        let model = job.model.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "{}  {}  {:12}  {:16}  {:9}  by {}\n",
            plain(&job.id),
            status(job, colour),
            plain(&job.app),
            plain(model),
            plain(&job.class),
            plain(&job.deadline),
        ));
    }
    if jobs.has_more {
        text.push_str(&format!("  {} hither jobs ls --after {}\n", colour.green("older ones:"), plain(&last.id)));
    }
    text
}

fn text(job: &JobDto, colour: Colour) -> String {
    let mut text = format!("{} {}  {}\n", colour.bold("Job"), plain(&job.id), status(job, colour).trim_end());
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:10} {}\n", plain(value)));
    line("asks", &format!("POST {}", job.url));
    if let Some(model) = &job.model {
        line("model", model);
    }
    line("app", &format!("{}, data of class {}", job.app, job.class));
    line("handed in", &job.created);
    line("deadline", &job.deadline);
    if let Some(ended) = &job.ended {
        line("ended", ended);
    }
    line("attempts", &job.attempts.to_string());
    if let (Some(site), Some(rule)) = (&job.served_by, &job.rule) {
        let place = job.jurisdiction.as_deref().unwrap_or("unknown");
        line("answered", &format!("at {site} ({place}), permitted by {rule}"));
    }
    if let Some(TriedDto { at, code, message, .. }) = &job.last {
        line("last try", &format!("{at}: {message} [{code}]"));
    }
    if let Some(next) = &job.next {
        line("next try", &format!("{next} at the latest; sooner if the mesh or the law changes"));
    }
    if let Some(problem) = &job.problem {
        line("why", &format!("{} [{}]", problem.message, problem.code));
        for help in &problem.help {
            line("help", help);
        }
    }
    let request = job.request.as_ref().or_else(|| job.last.as_ref()?.request.as_ref());
    if let Some(request) = request {
        line("help", &format!("hither explain {request}"));
    }
    text
}
