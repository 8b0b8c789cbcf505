//! `hither apps`: who may use this node, with which key and within which limits.

use clap::{Args, Subcommand};
use hither_api::admin::{AddAppDto, AppDto, AppKeyDto, ChangeDto};
use hither_types::id::{AppName, ModelName, Purpose};
use hither_types::label::DataClass;
use serde_json::json;

use super::{Context, parse};
use crate::client::Client;
use crate::output::{Colour, Exit, Trouble, plain};

/// What can be done with apps.
#[derive(Debug, Subcommand)]
pub(super) enum AppsCommand {
    /// Take an app in and print its key, once. What is not limited here is not limited.
    Add {
        /// What the law, the ledger and people will call it.
        #[arg(value_parser = parse::app)]
        name: AppName,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// Change what an app may do, from the next request on; its key stays. What is not named stays as it is.
    Limit {
        /// Which app.
        #[arg(value_parser = parse::app)]
        name: AppName,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// List the apps: their limits, and what they have used since the node started.
    Ls,
    /// Make a new key for an app and print it, once. The old one is worth nothing from then on.
    Rotate {
        /// Which app.
        #[arg(value_parser = parse::app)]
        name: AppName,
    },
    /// Destroy the keys of an app's references: what its records refer to can be shown by nobody any more. What comes from then on
    /// gets a new key.
    Shred {
        /// Which app.
        #[arg(value_parser = parse::app)]
        name: AppName,
    },
    /// Forget an app, its key and the keys of its references. Requests under way are finished.
    Rm {
        /// Which app.
        #[arg(value_parser = parse::app)]
        name: AppName,
    },
}

/// What an app may do.
#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// The highest class of data that it may send: public, internal, personal, special or secret.
    #[arg(long, value_name = "CLASS", value_parser = parse::class)]
    class: Option<DataClass>,
    /// The models that it may ask for, with commas between; \"all\" lifts the limit.
    #[arg(long, value_name = "MODELS", value_delimiter = ',', value_parser = parse::model)]
    models: Option<Vec<ModelName>>,
    /// What its requests may be for, with commas between; each has to say it in x-hither-purpose. \"all\" lifts the limit.
    #[arg(long, value_name = "PURPOSES", value_delimiter = ',', value_parser = parse::purpose)]
    purposes: Option<Vec<Purpose>>,
    /// Requests a second; 0 lifts the limit.
    #[arg(long, value_name = "N")]
    requests_per_s: Option<u32>,
    /// Requests under way at once; 0 lifts the limit.
    #[arg(long, value_name = "N")]
    concurrent: Option<u32>,
    /// Tokens a minute, prompts and answers together; 0 lifts the limit.
    #[arg(long, value_name = "N")]
    tokens_per_min: Option<u32>,
    /// The user whose programs are this app when they come over the Unix socket, without a key.
    #[arg(long, value_name = "UID")]
    uid: Option<u32>,
    /// The name in the certificates that its programs show: a DNS name or URI among the subject alternative names.
    #[arg(long, value_name = "NAME")]
    certificate: Option<String>,
    /// The value in the tokens that its programs send, in the claim that [api.oidc] names (sub, unless it says otherwise).
    #[arg(long, value_name = "VALUE")]
    subject: Option<String>,
    /// Up to which class of data the records of its requests refer to what was asked, by a key that is destroyed when the records
    /// are; \"none\" makes no more of them.
    #[arg(long, value_name = "CLASS", value_parser = references)]
    references: Option<String>,
    /// What makes it known no more, with commas between: uid, certificate, subject.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = ["uid", "certificate", "subject"])]
    unlink: Vec<String>,
}

impl LimitArgs {
    fn change(self) -> ChangeDto {
        ChangeDto {
            uid: self.uid,
            certificate: self.certificate,
            subject: self.subject,
            unlink: self.unlink,
            references: self.references,
            class: self.class.map(|class| class.to_string()),
            models: self.models.map(|models| items(&models)),
            purposes: self.purposes.map(|purposes| items(&purposes)),
            requests_per_s: self.requests_per_s,
            concurrent: self.concurrent,
            tokens_per_min: self.tokens_per_min,
        }
    }
}

fn references(text: &str) -> Result<String, String> {
    if text != "none" {
        DataClass::parse(text).map_err(|error| format!("{error}, or none"))?;
    }
    Ok(text.to_owned())
}

fn items<T: ToString>(items: &[T]) -> Vec<String> {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    if words == ["all"] { Vec::new() } else { words }
}

/// Does it.
pub(super) fn apps(context: &Context, command: AppsCommand) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    match command {
        AppsCommand::Add { name, limits } => {
            let body = AddAppDto { name: name.to_string(), limits: limits.change() };
            let made: AppKeyDto = context.wait(client.post("/hither/v1/apps", &json!(body)))?;
            hand_over(context, &made);
        }
        AppsCommand::Rotate { name } => {
            let made: AppKeyDto = context.wait(client.post(&format!("/hither/v1/apps/{name}/rotate"), &json!({})))?;
            hand_over(context, &made);
        }
        AppsCommand::Limit { name, limits } => {
            let change = limits.change();
            if change == ChangeDto::default() {
                return Err(Trouble::new("E0166", format!("nothing was said that app {name} may or may not do"))
                    .help(format!("hither apps limit {name} --requests-per-s 5"))
                    .help("hither apps limit --help")
                    .exit(Exit::Usage));
            }
            let app: AppDto = context.wait(client.post(&format!("/hither/v1/apps/{name}/limits"), &json!(change)))?;
            context.screen.answer(&json!(app), |colour| described(&app, colour));
        }
        AppsCommand::Ls => {
            let apps: Vec<AppDto> = context.wait(client.get("/hither/v1/apps"))?;
            context.screen.answer(&json!(apps), |colour| {
                if apps.is_empty() {
                    return "no apps yet: hither apps add NAME\n".to_owned();
                }
                apps.iter().map(|app| described(app, colour) + &used(app)).collect()
            });
        }
        AppsCommand::Shred { name } => {
            let app: AppDto = context.wait(client.post(&format!("/hither/v1/apps/{name}/shred"), &json!({})))?;
            context.screen.answer(&json!(app), |colour| {
                format!(
                    "{} the keys of the references of {} are destroyed: what its records refer to can be shown by nobody any more\n",
                    colour.green("ok"),
                    colour.bold(&plain(&app.name))
                )
            });
        }
        AppsCommand::Rm { name } => {
            let app: AppDto = context.wait(client.delete(&format!("/hither/v1/apps/{name}")))?;
            context.screen.answer(&json!(app), |colour| {
                format!(
                    "{} is no app of this node any more, and its key opens nothing\n",
                    colour.bold(&plain(&app.name))
                )
            });
        }
    }
    Ok(())
}

/// The key alone on stdout, so that it can be piped into whatever keeps secrets.
fn hand_over(context: &Context, made: &AppKeyDto) {
    context.screen.answer(&json!(made), |_| format!("{}\n", plain(&made.key)));
    if !context.screen.is_json() {
        eprint!("{}", described(&made.app, Colour::of_stderr()));
        eprintln!(
            "  The key is shown this once. The app sends it as  Authorization: Bearer hk_{}_…",
            plain(&made.app.key_id)
        );
    }
}

fn described(app: &AppDto, colour: Colour) -> String {
    let mut may = Vec::new();
    let mut add = |text: Option<String>| may.extend(text);
    add(app.class.as_ref().map(|class| format!("data up to {class}")));
    add((!app.models.is_empty()).then(|| format!("models {}", app.models.join(", "))));
    add((!app.purposes.is_empty()).then(|| format!("for {}", app.purposes.join(", "))));
    add(app.requests_per_s.map(|most| format!("{most} requests a second")));
    add(app.concurrent.map(|most| format!("{most} at once")));
    add(app.tokens_per_min.map(|most| format!("{most} tokens a minute")));
    add(app.references.as_ref().map(|class| format!("references to data up to {class} on the record")));
    let may = if may.is_empty() { "no limits of its own".to_owned() } else { may.join(" · ") };
    let uid = app.uid.map_or_else(String::new, |uid| format!("  user {uid}"));
    let link = |what: &str, link: &Option<String>| match link {
        Some(link) => format!("  {what} {}", plain(link)),
        None => String::new(),
    };
    let links = uid + &link("certificate", &app.certificate) + &link("subject", &app.subject);
    let name = colour.bold(&format!("{:20}", plain(&app.name)));
    format!("{name}  key hk_{}_…{links}\n    {}\n", plain(&app.key_id), plain(&may))
}

fn used(app: &AppDto) -> String {
    format!(
        "    {} requests, {} kept out by limits, {} tokens, {} under way\n",
        app.requests, app.limited, app.tokens, app.running
    )
}
